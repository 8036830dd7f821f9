"""What stands in the way of each kind of model, and what would remove it: nothing is exported half."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from servable.bundles.load import Predictor
from servable.bundles.open import open_bundle
from servable.domain.bundle import Bundle, Manifest
from servable.domain.field import Field
from servable.domain.rule import Rule
from servable.domain.signature import Signature
from servable.edge.edition import TEXTS
from servable.edge.obstacles import obstacles
from servable.edge.targets import target_of
from tests.cli.command import servable
from tests.runtimes.huggingface.folders import bert, saved, words

FORMATS = sorted(each.name for each in entry_points(group="servable.runtimes"))
NUMBERS = Signature((Field("x", "FP32", (-1, 2)),), (Field("y", "FP32", (-1, 1)),))


def stated(kind: str, **more: object) -> Bundle:
    """A bundle of which only the manifest is looked at."""
    manifest = Manifest("m", kind, "model", kind, NUMBERS, (), **more)  # type: ignore[arg-type] # as the case has it
    return Bundle(Path("nowhere"), manifest, "0" * 64)


@pytest.mark.parametrize("kind", [name for name in FORMATS if name not in {"onnx", TEXTS, "mlflow"}])
def test_every_other_format_has_a_way_out(kind: str) -> None:
    (found,) = obstacles(stated(kind))
    assert found.what.endswith("a device runs ONNX only")
    assert found.fix.startswith(("Pack ", "Export ", "Serve ", "Make "))
    assert "Serve" in found.fix or "ONNX" in found.fix or "onnx" in found.fix or "PMML" in found.fix


def test_what_packing_tried_is_told() -> None:
    (found,) = obstacles(stated("sklearn", lineage={"rejected": ["FP32 matrix: no converter for SVC"]}))
    assert "(packing tried: FP32 matrix: no converter for SVC)" in str(found)


def model(tmp_path: Path, kind: int = TensorProto.FLOAT, *, beside: bool = False) -> Path:
    """x @ w -> y, its weight in the file or beside it."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weight = numpy_helper.from_array(np.ones((64, 64), dtype), "w")
    x, y = (helper.make_tensor_value_info(name, kind, ["n", 64]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(proto, path, save_as_external_data=beside, location="weights.bin", size_threshold=0)
    return path


def test_a_plain_model_has_none(tmp_path: Path) -> None:
    assert obstacles(open_bundle(model(tmp_path))) == []


def test_weights_beside_the_model(tmp_path: Path) -> None:
    (found,) = obstacles(open_bundle(model(tmp_path, beside=True)))
    assert found.what == "its weights lie in files beside the model (weights.bin)"
    assert "save_as_external_data=False" in found.fix


def test_inputs_of_halves(tmp_path: Path) -> None:
    bundle = open_bundle(model(tmp_path, TensorProto.FLOAT16))
    (found,) = obstacles(bundle, target_of("browser").obstacles)
    assert "input 'x' is FP16" in found.what
    assert obstacles(bundle, target_of("desktop").obstacles) == []


def test_tokens_are_made_in_javascript_alone() -> None:
    (found,) = target_of("desktop").obstacles[0](stated(TEXTS))
    assert "--target browser" in found.fix


@pytest.mark.parametrize(
    ("kind", "file", "what"),
    [
        ("BertForTokenClassification", "", "it is for token-classification, and folders that embed or classify texts"),
        ("BertForSequenceClassification", "tokenizer.json", "it has no tokenizer.json: save its tokenizer again"),
    ],
)
def test_folders_of_texts_that_cannot_be_read_on_a_device(tmp_path: Path, kind: str, file: str, what: str) -> None:
    saved(tmp_path, kind, bert(), words())
    (tmp_path / file).unlink() if file else None
    (found,) = obstacles(open_bundle(tmp_path))
    assert found.what.startswith(what)
    assert found.fix == (
        "Serve it from a server, or take a model of BERT's or RoBERTa's family that embeds or classifies texts"
    )


def test_distances_of_dates(predictor: Predictor) -> None:
    manifest = predictor.bundle.manifest
    dated = Field("born", "BYTES", (-1, 1), content="date")
    signature = msgspec.structs.replace(manifest.signature, inputs=(*manifest.signature.inputs, dated))
    for columns, expected in (((), 1), (("born", "age"), 1), (("age",), 0)):
        rule = Rule("strange", distance="mahalanobis", columns=columns, within=0.9, action="refuse")
        stated = msgspec.structs.replace(manifest, signature=signature, rules=(rule,))
        found = obstacles(msgspec.structs.replace(predictor.bundle, manifest=stated))
        assert len(found) == expected, columns
        assert all("the distance of dates (born)" in each.what and "'columns'" in each.fix for each in found)


def test_the_command_lists_them_for_programs(tmp_path: Path) -> None:
    told = servable("export", model(tmp_path, TensorProto.FLOAT16), "--output", tmp_path / "web", "--json")
    assert told.code == 1, told
    (found,) = told.json["obstacles"]
    assert found["what"] == "input 'x' is FP16, which not every browser can hand over"
    assert found["fix"] == "Keep inputs FP32; weights may be FP16 all the same"
    assert f"{found['what']}. {found['fix']}" in told.json["error"]


def test_everything_is_told_at_once(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servable.edge.obstacles.MOST_BYTES", 1)
    away = Rule("away", column="age", high=80, action="fallback", fallback="old@champion")
    manifest = msgspec.structs.replace(predictor.bundle.manifest, rules=(away,))
    told = obstacles(msgspec.structs.replace(predictor.bundle, manifest=manifest))
    assert [str(each).split(" ")[0] for each in told] == ["its", "rule"]
    assert "a device takes at most 1" in told[0].what
    assert "hands rows over to 'old@champion', which is not on the device" in told[1].what
