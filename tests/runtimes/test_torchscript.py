"""TorchScript: a voice detector that others published, programs that reach out, and ones that remember."""

import io
import pickle
import random
import zipfile

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits

import servable
from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import BundleError, CorruptModel, IncompatibleModel, UnsafeModel, UsageError
from servable.runtimes.find import recognise, runtime
from tests.assets import wheel

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of itself

SILERO = ("silero-vad==6.2.3", "silero_vad", "data")


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.layer(x), "sums": x.sum(1)}


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("torch") / "digits.pt"
    net = Net().eval()
    torch.jit.save(torch.jit.script(net), str(path))
    return path, net, load_digits().data.astype(np.float32)


def declared(path, rows, name="x"):
    return runtime("torchscript").declared(path, Inspection(Signature((), ())), Batch({name: rows}))


def packed(path, sample, output, **more):
    bundle = servable.pack(path, sample=sample, output=output, **more)
    return bundle, runtime("torchscript").load(open_bundle(output))


def test_it_answers_as_torch_does(script, tmp_path):
    path, net, data = script
    with pytest.raises(IncompatibleModel, match="does not say what it takes"):
        open_bundle(path)
    bundle, model = packed(path, {"x": data[:20]}, tmp_path / "bundle")
    assert bundle.signature.batched
    assert [field.describe() for field in bundle.signature.outputs] == ["FP32 [-1, 10]", "FP32 [-1]"]
    found = model.predict(Batch({"x": data}))
    with torch.inference_mode():
        np.testing.assert_allclose(found["scores"], net(torch.tensor(data))["scores"].numpy(), atol=1e-5)


def test_the_published_detector_of_voices_agrees_with_its_onnx_and_never_mixes_streams(tmp_path):
    folder = wheel(SILERO[0]).joinpath(*SILERO[1:])
    random = np.random.default_rng(0)
    sounds = (random.standard_normal((3, 512)) * 0.1).astype(np.float32)
    bundle, model = packed(folder / "silero_vad.jit", {"x": sounds, "sr": np.int64(16000)}, tmp_path / "vad")
    assert bundle.manifest.options == {"arguments": {"sr": 16000}, "anew": True}
    (given,), (taken,) = bundle.signature.inputs, bundle.signature.outputs
    assert (given.name, given.shape[1:]) == ("x", (512,))
    session = onnxruntime.InferenceSession(str(folder / "silero_vad.onnx"))
    quiet = np.zeros((3, 64), np.float32)
    feeds = {"input": np.hstack([quiet, sounds]), "state": np.zeros((2, 3, 128), np.float32), "sr": np.array(16000)}
    expected = session.run(["output"], feeds)[0]
    for _ in range(2):
        found = model.predict(Batch({"x": sounds}, 3))[taken.name]
        np.testing.assert_allclose(found, expected, atol=5e-7)
    if bundle.signature.batched:
        np.testing.assert_allclose(model.predict(Batch({"x": sounds[1:2]}, 1))[taken.name], expected[1:2], atol=1e-5)


def rewritten(source, target, edit):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, edit(entry, old.read(entry)))
        if extra := edit("", b""):
            new.writestr(*extra)
    return target


class Touching:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    ("edit", "error", "reason"),
    [
        (lambda n, c: c.replace(b"torch.sum", b"torch.save") if n.endswith(".py") else c, UnsafeModel, "torch.save"),
        (lambda n, c: c + b"\n# ops.mine.run(x)\n" if n.endswith(".py") else c, IncompatibleModel, "mine.run"),
        (lambda n, c: c + b"\n# ops.aten.from_file\n" if n.endswith(".py") else c, UnsafeModel, "from_file"),
        (lambda n, c: c if n else ("digits/evil.so", b"\x7fELF"), UnsafeModel, "evil.so"),
        (lambda n, c: c if n else ("other/code/x.py", b""), UnsafeModel, "more than one folder"),
    ],
)
def test_programs_that_reach_out_are_refused(script, tmp_path, edit, error, reason):
    path = rewritten(script[0], tmp_path / "evil.pt", edit)
    with pytest.raises(error, match=reason):
        declared(path, script[2][:4])


def test_a_pickle_inside_that_would_make_a_file_runs_nothing(script, tmp_path):
    evil = pickle.dumps(Touching(tmp_path / "touched"), protocol=2)
    path = rewritten(script[0], tmp_path / "evil.pt", lambda n, c: evil if n.endswith("/data.pkl") else c)
    with pytest.raises(UnsafeModel, match="a pickle that names"):
        declared(path, script[2][:4])
    assert not (tmp_path / "touched").exists()


def test_broken_files_give_one_line_each(script, tmp_path):
    raw, rng = script[0].read_bytes(), random.Random(0)
    path = tmp_path / "broken.pt"
    refused = 0
    for _ in range(12):
        flipped = bytearray(raw)
        for _ in range(4):
            flipped[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            declared(path, script[2][:4])
        except (BundleError, UsageError) as error:
            refused += 1
            assert "\n" not in error.message
    assert refused >= 6
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(CorruptModel, match="cut off"):
        declared(path, script[2][:4])


def test_a_sample_that_does_not_fit_is_told(script, tmp_path):
    for name, rows, reason in (("y", script[2][:4], "no argument 'y'"), ("x", script[2][:4, :5], "does not answer")):
        with pytest.raises(UsageError, match=reason):
            declared(script[0], rows, name)


def test_a_sample_of_arrays_comes_from_a_file_too(script, tmp_path):
    np.savez(tmp_path / "rows.npz", x=script[2][:8])
    bundle, model = packed(script[0], tmp_path / "rows.npz", tmp_path / "bundle")
    assert bundle.manifest.golden
    assert model.predict(Batch({"x": script[2][:0]}, 0)).rows == 0
    np.savez(tmp_path / "objects.npz", x=np.array([Touching(tmp_path / "touched")], object))
    with pytest.raises(UsageError, match="cannot read the sample"):
        servable.pack(script[0], sample=tmp_path / "objects.npz", output=tmp_path / "other")
    assert not (tmp_path / "touched").exists()


def test_a_script_is_recognised_by_content(script, tmp_path):
    (tmp_path / "anything.bin").write_bytes(script[0].read_bytes())
    assert recognise(tmp_path / "anything.bin").name == "torchscript"
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(Net().layer, torch.zeros(1, 64)), buffer)
    (tmp_path / "traced").write_bytes(buffer.getvalue())
    assert recognise(tmp_path / "traced").name == "torchscript"
