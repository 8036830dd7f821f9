"""Exported PyTorch programs: a network trained on real digits, and archives made to run code."""

import io
import json
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, CorruptModel, IncompatibleModel, UnknownFormat, UnsafeModel
from servable.runtimes.find import recognise, runtime

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of itself


def load(path):
    bundle = open_bundle(path)
    assert bundle.manifest.format == "pytorch"
    return bundle, runtime("pytorch").load(bundle)


def export(module, arguments, path, rows=True, **more):
    if rows:
        more["dynamic_shapes"] = tuple({0: torch.export.Dim("rows")} for _ in arguments)
    torch.export.save(torch.export.export(module.eval(), arguments, **more), str(path))
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    torch.manual_seed(0)
    data = load_digits()
    pictures = torch.tensor(data.images[:, None] / 16, dtype=torch.float32)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Dropout(0.3),
        torch.nn.Linear(288, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(pictures), torch.tensor(data.target)).backward()
        optimizer.step()
    path = export(net, (pictures[:2],), tmp_path_factory.mktemp("torch") / "digits.pt2")
    return path, net, pictures, data.target


def test_it_answers_as_torch_does(digits):
    path, net, pictures, target = digits
    bundle, model = load(path)
    assert bundle.signature.batched
    assert bundle.manifest.libraries == {"torch": torch.__version__.partition("+")[0]}
    (given,), (taken,) = bundle.signature.inputs, bundle.signature.outputs
    assert (given.describe(), taken.name, taken.describe()) == ("FP32 [-1, 1, 8, 8]", "output", "FP32 [-1, 10]")
    found = model.predict(Batch({given.name: pictures[:200].numpy()}))
    assert bundle.signature.check_outputs(found) == []
    with torch.inference_mode():
        np.testing.assert_allclose(found["output"], net(pictures[:200]).numpy(), atol=1e-5)
    assert (found["output"].argmax(axis=1) == target[:200]).mean() > 0.9
    assert model.predict(bundle.signature.example(0)).rows == 0


class Several(torch.nn.Module):
    def forward(self, x, ids, scale):
        return {"scaled": x * scale, "next": ids + 1}


def test_several_inputs_and_outputs_by_name(tmp_path):
    path = export(Several(), (torch.randn(2, 3), torch.tensor([1, 2]), torch.randn(2, 1)), tmp_path / "several.pt2")
    bundle, model = load(path)
    columns = {
        "scale": np.array([[2.0]], np.float32),
        "ids": np.array([7]),
        "x": np.array([[1, 2, 3]], np.float32),
    }
    found = model.predict(Batch(columns))
    assert found["scaled"].tolist() == [[2, 4, 6]]
    assert found["next"].tolist() == [8]
    assert bundle.signature.output("next").datatype == "INT64"


class Centred(torch.nn.Module):
    def forward(self, x):
        return x - x.mean(0)


def test_rows_that_depend_on_each_other_are_never_joined(tmp_path):
    bundle, _ = load(export(Centred(), (torch.randn(4, 3),), tmp_path / "centred.pt2"))
    assert not bundle.signature.batched


def test_a_fixed_size_is_one_call(tmp_path):
    bundle, model = load(export(Centred(), (torch.randn(4, 3),), tmp_path / "fixed.pt2", rows=False))
    assert not bundle.signature.batched
    assert bundle.signature.inputs[0].shape == (4, 3)
    assert model.predict(bundle.signature.example())["output"].shape == (4, 3)


def changed(source, target, edit):
    """A copy of an archive with one part changed: edit(name, content) gives the new content, or None to leave it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            found = edit(entry, content)
            new.writestr(entry, content if found is None else found)
        if (added := edit("", b"")) is not None:
            new.writestr(*added)
    return target


class Touching:
    """A pickle that would leave a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_example_inputs_that_run_code_are_refused_unrun(digits, tmp_path):
    buffer = io.BytesIO()
    torch.save(Touching(tmp_path / "touched"), buffer)
    for content in (buffer.getvalue(), pickle.dumps(Touching(tmp_path / "touched"))):
        path = changed(digits[0], tmp_path / "evil.pt2", lambda n, _, x=content: x if n.endswith("model.pt") else None)
        with pytest.raises(UnsafeModel, match="not plain tensors"):
            open_bundle(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["graph_module"]["graph"]["nodes"][0].update(target="torch.hub.load"), "a call of torch.hub.load"),
        (lambda m: m["graph_module"]["graph"]["nodes"][0].update(target="_operator.methodcaller"), "methodcaller"),
        (lambda m: m["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.aten.from_file.out"), "from_file"),
        (lambda m: m.update(guards_code=["__import__('os').system('true')"]), "the expression"),
        (lambda m: m["graph_module"]["graph"]["tensor_values"].update(
            evil={"sizes": [{"as_expr": {"expr_str": "eval('1')", "hint": None}}]}), "the expression"),
    ],
)  # fmt: skip
def test_graphs_that_name_code_are_refused(digits, tmp_path, change, reason):
    def edit(name, content):
        if not name.endswith("models/model.json"):
            return None
        model = json.loads(content)
        change(model)
        return json.dumps(model).encode()

    with pytest.raises(UnsafeModel, match=reason):
        open_bundle(changed(digits[0], tmp_path / "evil.pt2", edit))


def test_operators_of_others_are_named(digits, tmp_path):
    def edit(name, content):
        if not name.endswith("models/model.json"):
            return None
        model = json.loads(content)
        model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.torchvision.nms.default"
        return json.dumps(model).encode()

    with pytest.raises(IncompatibleModel, match=r"torchvision\.nms"):
        open_bundle(changed(digits[0], tmp_path / "other.pt2", edit))


@pytest.mark.parametrize("part", ["data/aotinductor/model/a.so", "data/constants/custom_obj_0"])
def test_parts_that_are_neither_graph_nor_weight(digits, tmp_path, part):
    path = changed(digits[0], tmp_path / "evil.pt2", lambda n, _: (f"digits/{part}", b"x") if not n else None)
    with pytest.raises(UnsafeModel, match="neither graph nor weight"):
        open_bundle(path)


def test_broken_archives(digits, tmp_path):
    data = digits[0].read_bytes()
    path = tmp_path / "broken.pt2"
    chance = random.Random(0)
    for cut in (20, len(data) // 2, len(data) - 40):
        path.write_bytes(data[:cut])
        with pytest.raises(BundleError):
            open_bundle(path)
    refused = 0
    for _ in range(30):
        flipped = bytearray(data)
        for _ in range(6):
            flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            open_bundle(path)
        except BundleError:
            refused += 1
    assert refused >= 20
    empty = changed(digits[0], path, lambda n, _: b"{}" if n.endswith("models/model.json") else None)
    with pytest.raises(CorruptModel, match="cannot load"):
        open_bundle(empty)


def test_other_files_of_pytorch_are_refused_by_name(tmp_path):
    things = {"whole.pt": torch.nn.Linear(2, 2), "weights.pt": {"w": torch.zeros(2)}, "training_args.bin": {"lr": 0.1}}
    for name, thing in things.items():
        torch.save(thing, tmp_path / name)
        with pytest.raises(UnknownFormat, match=r"a pickle .*which runs code"):
            recognise(tmp_path / name)
