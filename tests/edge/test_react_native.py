"""A model for React Native answers as the server does, by the scripts of the package and the model in ORT format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servable.bundles.load import Predictor
from servable.edge.edition import edition_of
from servable.edge.ort_format import ort_file
from servable.edge.react_native import in_node_as_on_a_phone
from servable.errors import CheckFailed, IncompatibleModel, ModelFailed
from tests.edge.exported import Exported, ExportTo

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def exported(exported_to: ExportTo) -> Exported:
    return exported_to("react-native")


def test_its_scripts_answer_as_the_server(exported: Exported) -> None:
    (device,) = exported[1].devices
    assert exported[1].proven
    assert device.device.startswith("React Native's package in Node")
    assert device.answered > 100
    assert device.refused > 40
    assert device.largest["prediction"] < 0.01


def test_it_asks_for_the_runtime_and_tells_what_it_needs_of_it(exported: Exported) -> None:
    folder, made = exported
    package = json.loads((folder / "package.json").read_text())
    assert package["peerDependencies"] == {"onnxruntime-react-native": "^" + made.runtimes["onnxruntime-react-native"]}
    assert (folder / package["main"]).is_file() and (folder / package["types"]).is_file()
    sets = [line.split(";") for line in (folder / "required_operators.config").read_text().splitlines()]
    assert {"Scaler", "LinearRegressor"} <= {name for _, _, names in sets for name in names.split(",")}
    assert made.bytes["the model in ORT format"] == (folder / "model.ort").stat().st_size


def test_golden_rows_and_digests_are_held_on_the_device(exported: Exported, tmp_path: Path) -> None:
    facts = (exported[0] / "facts.js").read_text()
    golden = json.loads(facts.partition("export const GOLDEN = ")[2].removesuffix(";\n"))
    assert len(golden["asked"]) > 1
    first = golden["asked"][0]["told"]["rows"][0]
    changed = {"facts.js": facts.replace(json.dumps(first["prediction"]), "1"), "model.ort": None}
    for name, text in changed.items():
        folder = tmp_path / name
        folder.mkdir()
        for file in exported[0].iterdir():
            data = file.read_bytes()
            if file.name == name:
                data = data[:-1] if text is None else text.encode()
            (folder / file.name).write_bytes(data)
        with pytest.raises(
            ModelFailed, match="golden rows are answered otherwise" if text else "was cut off or changed"
        ):
            in_node_as_on_a_phone(folder, [])


def test_what_is_no_model_is_not_written(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    edition = edition_of(predictor.bundle, "3")
    with pytest.raises(IncompatibleModel, match="cannot write 'loan' in its own format"):
        ort_file(type(edition)(edition.bundle, "3", edition.model[:-9]))
    monkeypatch.setattr("servable.edge.ort_format.differences", lambda *_: [Different()])
    with pytest.raises(CheckFailed, match="answers otherwise in onnxruntime's own format: all of it"):
        ort_file(edition)


class Different:
    """A difference, as the proof tells it."""

    count = 1

    def __str__(self) -> str:
        return "all of it"
