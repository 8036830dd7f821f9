"""Weights with the Python that builds their module: by consent, whole, and nothing run without."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_iris

import servable
from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import BundleError, CorruptModel, UnknownFormat, UnsafeModel, UsageError
from servable.runtimes.find import recognise, runtime
from servable.runtimes.python import run_source
from servable.runtimes.tensor_call import call_of

pytestmark = pytest.mark.filterwarnings("ignore")

FLOWERS = load_iris(as_frame=True)
NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(4, 8)
        self.last = torch.nn.Linear(8, 3)

    def forward(self, flowers, scale: float = 1.0):
        return self.last(torch.relu(self.first(flowers))) * scale
"""


@pytest.fixture
def files(tmp_path):
    """The weights, and the file that builds their module."""
    (tmp_path / "net.py").write_text(NET)
    torch.manual_seed(0)
    net = run_source(NET.encode(), tmp_path / "net.py").Net().eval()
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors", tmp_path / "net.py", net


def declared(files, sample=None):
    """What packing asks, in this process."""
    known = Inspection(Signature((), ()), options={"include": [files[1].name]})
    rows = Batch(sample or {"input": FLOWERS.data.to_numpy(float)}, 1)
    return runtime("safetensors").declared(files[0], known, rows)


def test_it_answers_as_the_module_does(files, tmp_path):
    weights, source, net = files
    bundle = servable.pack(
        weights, sample=FLOWERS.data, include=[source], allow_unsafe=True, output=tmp_path / "bundle"
    )
    (given,) = bundle.signature.inputs
    assert (given.name, given.datatype, given.features) == ("flowers", "FP32", tuple(FLOWERS.data.columns))
    with servable.load(tmp_path / "bundle") as predictor, torch.inference_mode():
        expected = net(torch.tensor(FLOWERS.data.to_numpy(np.float32))).numpy()
        np.testing.assert_allclose(predictor.predict(FLOWERS.data).to_numpy(), expected, atol=1e-5)


def test_a_number_without_axes_stays_the_same_in_every_call(files):
    rows = FLOWERS.data.to_numpy(np.float32)
    seen = declared(files, {"flowers": rows[:10], "scale": np.array(2.0)})
    assert seen.options["arguments"] == {"scale": 2.0}
    assert [field.name for field in seen.signature.inputs] == ["flowers"]
    call = call_of(torch, files[2], seen.options["arguments"])
    np.testing.assert_allclose(call({"flowers": rows})["output"], 2 * files[2](torch.tensor(rows)).detach(), atol=1e-5)


def test_without_consent_nothing_is_run(files, tmp_path):
    weights, source, _ = files
    touch = f"try:\n    open({str(tmp_path / 'touched')!r}, 'w')\nexcept PermissionError:\n    pass\n"
    source.write_text(touch + NET)
    assert recognise(weights).name == "safetensors"
    with pytest.raises(BundleError, match="--include"):
        open_bundle(weights)
    with pytest.raises(UsageError, match="--allow-unsafe"):
        servable.pack(weights, sample=FLOWERS.data, include=[source], output=tmp_path / "bundle")
    assert not (tmp_path / "touched").exists()
    servable.pack(weights, sample=FLOWERS.data, include=[source], allow_unsafe=True, output=tmp_path / "bundle")
    (tmp_path / "touched").unlink(missing_ok=True)  # with consent it is run, behind walls where there are any
    manifest = tmp_path / "bundle" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("allow_unsafe = true", "allow_unsafe = false"))
    with pytest.raises(UnsafeModel, match="consented"):
        runtime("safetensors").load(open_bundle(tmp_path / "bundle"))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1", "defines no build"),
        ("def build():\n    return 7", "expected a torch.nn.Module"),
        ("def build(:", "not valid Python"),
        (NET.replace("8", "9"), "does not fit the module"),
    ],
)
def test_python_that_builds_no_such_module_is_told(files, source, reason):
    files[1].write_text(source)
    with pytest.raises((BundleError, UsageError), match=reason):
        declared(files)


def test_python_that_ends_its_process_ends_nothing_else(files, tmp_path):
    files[1].write_text(NET + "\nimport os; os._exit(3)")
    with pytest.raises(CorruptModel, match="exit code 3"):
        servable.pack(files[0], sample=FLOWERS.data, include=[files[1]], allow_unsafe=True, output=tmp_path / "bundle")


def test_broken_weights_give_one_line_each(files):
    weights = files[0]
    raw = weights.read_bytes()
    for broken in (raw[: len(raw) // 2], raw[:200] + raw[210:]):
        weights.write_bytes(broken)
        with pytest.raises((CorruptModel, UnknownFormat, UsageError)) as caught:
            declared(files)
        assert "\n" not in caught.value.message
    weights.write_bytes(b"")
    with pytest.raises(UnknownFormat, match="empty"):
        recognise(weights)
