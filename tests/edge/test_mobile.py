"""A folder for phones: what it holds, and what the sources for Kotlin and Swift do not know."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest

from servable.bundles.load import Predictor
from servable.bundles.opened import Opened
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.edge.export import export
from servable.edge.life import life_of
from servable.edge.mobile import RESOURCES, natives
from servable.edge.obstacles import obstacles
from servable.edge.publishable import ASSETS
from servable.edge.targets import target_of
from servable.errors import Unsupported, UsageError
from tests.edge.simple import simple

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        rows = [{"age": 40, "income": 3000, "city": "north", "kind": "a"}, {"age": 17}]
        patch.setattr("servable.edge.export.bodies", lambda *_, **__: [{"rows": [row]} for row in rows])
        place = tmp_path_factory.mktemp("exported") / "phones"
        made = export(Predictor(Opened(simple(predictor.bundle), predictor.model)), "3", place, target="mobile")
    assert made.proven
    assert [note.partition(":")[0] for note in made.notes] == ["no model.tflite"]
    return place


def test_every_source_has_the_model_its_contract_and_golden_rows(folder: Path) -> None:
    android, ios = folder / "android", folder / "ios"
    model = (folder / "react-native" / "model.ort").read_bytes()
    for place in (android / "src/main/assets", ios / "Sources/Model"):
        assert (place / "model.ort").read_bytes() == model
        assert json.loads((place / "contract.json").read_text())["file"]["bytes"] == len(model)
    for file in (android / "src/main/assets/golden.json", ios / "Tests/ModelTests/golden.json"):
        assert all("rows" in asked["told"] for asked in json.loads(file.read_text())["asked"])
    assert (folder / "required_operators.config").read_text().startswith("ai.onnx;")
    written = [file.read_text() for file in folder.rglob("*") if file.suffix in {".kts", ".swift", ".kt"}]
    assert len(written) == 13
    assert not any("_RELEASE" in text for text in written)


def test_an_app_that_takes_updates_is_told_where_and_whose(predictor: Predictor, tmp_path: Path) -> None:
    model = Predictor(Opened(simple(predictor.bundle), predictor.model))
    life = life_of("https://example.com/loan", [base64.b64encode(bytes(32)).decode()])
    export(model, "3", tmp_path / "phones", target="mobile", proof=False, life=life)
    told = [json.loads((tmp_path / "phones" / place / "updates.json").read_text()) for place in (ASSETS, RESOURCES)]
    assert told[0] == told[1]
    assert (told[0]["name"], told[0]["updates"]) == ("loan", "https://example.com/loan/")
    assert '.copy("updates.json")' in (tmp_path / "phones/ios/Package.swift").read_text()
    with pytest.raises(UsageError, match="the target 'mobile' knows no --server"):
        export(model, "3", tmp_path / "other", target="mobile", life=life_of(server="https://example.com"))


def test_rules_that_native_sources_lack_are_named(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as told:
        export(predictor, "3", tmp_path / "phones", target="mobile")
    found = told.value.detail["obstacles"]
    assert [each["what"].split("'")[1] for each in found] == ["odd", "strange", "cheap", "sure"]
    assert all("--target react-native" in each["fix"] for each in found)
    assert obstacles(predictor.bundle, target_of("react-native").obstacles) == []


@pytest.mark.parametrize(
    ("field", "batched", "what"),
    [
        (Field("x", "FP64", (-1, 2)), True, "'x' is FP64"),
        (Field("x", "FP32", (-1, -1)), True, "'x' is FP32"),
        (Field("x", "FP32", (-1, 2, 2)), True, "'x' is FP32"),
        (Field("x", "BYTES", (-1, 1), content="date"), True, "'x' holds dates"),
        (Field("x", "FP32", (2, 2)), False, "it has no rows"),
    ],
)
def test_inputs_that_native_sources_lack_are_named(
    predictor: Predictor, field: Field, batched: bool, what: str
) -> None:
    signature = Signature((field,), (Field("y", "FP32", (-1, 1) if batched else (2, 1)),), batched)
    stated = msgspec.structs.replace(simple(predictor.bundle).manifest, signature=signature, rules=())
    (found,) = natives(msgspec.structs.replace(predictor.bundle, manifest=stated))
    assert found.what.startswith(what)
