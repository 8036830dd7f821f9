"""A model that goes to phones as TFLite: its own file, or one that is converted from Keras or TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

import servable
from servable.bundles.convert_lite import to_tflite
from servable.bundles.load import Predictor, load
from servable.domain.field import Field
from servable.domain.rule import Rule
from servable.domain.signature import Signature
from servable.edge import edition, lite
from servable.edge.export import export
from servable.edge.fit import Fit
from servable.edge.parity import compare
from servable.edge.served import answers
from servable.errors import ConversionRejected, Unsupported, UsageError
from servable.runtimes import verified
from tests.lite import FLOWERS, network, save_odd

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),
]  # what others' libraries warn of is theirs


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks as TFLite, alike but for their weights."""
    place = tmp_path_factory.mktemp("lite")
    found = []
    for seed in (1, 2):
        network(seed).save(place / f"{seed}.keras")
        found.append(place / f"{seed}.tflite")
        found[-1].write_bytes(to_tflite("keras", place / f"{seed}.keras", "serving_default"))
    return found


def test_a_file_of_its_own_goes_as_it_is(files: list[Path], tmp_path: Path) -> None:
    servable.pack(files[0], name="flowers", sample={"flower": FLOWERS}, output=tmp_path / "bundle")
    folder = tmp_path / "phones"
    with load(tmp_path / "bundle") as predictor:
        made = export(predictor, "3", folder, target="mobile")
        (device,) = made.devices
        assert made.proven
        assert device.answered > 20
        assert device.refused > 40
        assert (folder / "model.tflite").read_bytes() == files[0].read_bytes()
        assert not list(folder.rglob("*.ort"))
        stated = json.loads((folder / "contract.json").read_text())
        assert stated["file"]["sha256"] == hashlib.sha256(files[0].read_bytes()).hexdigest()
        assert [field["name"] for field in stated["inputs"]] == ["flower"]
        asked = json.loads((folder / "golden.json").read_text())["asked"]
        assert asked[0]["told"] == answers(predictor, "3", [asked[0]["body"]])[0]
        assert json.loads((folder / "parity.json").read_text())["notes"][0].startswith("no model.ort and no sources")

        (folder / "model.tflite").write_bytes(files[1].read_bytes())
        bodies = [each["body"] for each in asked]
        ran = lite.in_this_process(predictor.bundle, folder, bodies)
        assert not compare(ran.device, bodies, answers(predictor, "3", bodies), ran.told).passed

        with pytest.raises(UsageError, match="--keep takes outputs out of ONNX"):
            export(predictor, "3", tmp_path / "more", target="mobile", outputs=["output"])
        with pytest.raises(UsageError, match="a TFLite file is as its maker left it"):
            export(predictor, "3", tmp_path / "more", target="mobile", fit=Fit())
        assert not (tmp_path / "more").exists()


def test_rules_and_texts_stand_in_the_way(files: list[Path], tmp_path: Path) -> None:
    with load(files[0]) as predictor:
        signature = Signature((Field("word", "BYTES", (-1, 1)),), (Field("y", "FP32", (-1, 1)),))
        rules = (Rule("adult", column="word", present=True),)
        stated = msgspec.structs.replace(predictor.bundle.manifest, signature=signature, rules=rules)
        told = [each.what for each in lite.unfit(msgspec.structs.replace(predictor.bundle, manifest=stated))]
        assert [each.partition(" ")[0] for each in told] == ["'word'", "rule"]
        with pytest.raises(Unsupported, match="a device runs ONNX only"):
            export(predictor, "3", tmp_path / "web", target="browser")


def test_what_has_no_tflite_says_why(predictor: Predictor, tmp_path: Path) -> None:
    tree = DecisionTreeClassifier(random_state=0).fit(FLOWERS, FLOWERS[:, 0] > 5.5)
    bundle = servable.pack(tree, name="tree", sample=FLOWERS, output=tmp_path / "tree")
    first = edition.edition_of(bundle, "1")
    assert lite.why_not(first) == (
        "no model.tflite: trees have no operators in TFLite. model.ort runs them as the server does",
    )
    keras = msgspec.structs.replace(bundle.manifest, lineage={"conversion": "keras to ONNX"})
    (told,) = lite.why_not(msgspec.structs.replace(first, bundle=msgspec.structs.replace(bundle, manifest=keras)))
    assert "Pack the keras file with --to keep" in told
    (told,) = lite.why_not(edition.Edition(predictor.bundle, "1", verified.read(predictor.bundle)))
    assert "texts" in told


@pytest.mark.faults
@pytest.mark.parametrize("file", ["flowers.keras", "flowers.h5", "flowers"])
def test_networks_are_converted_behind_walls(file: str, tmp_path: Path) -> None:
    net = network(3)
    net.export(tmp_path / file, verbose=False) if file == "flowers" else net.save(tmp_path / file)
    servable.pack(tmp_path / file, name="flowers", sample={"flower": FLOWERS}, to="keep", output=tmp_path / "bundle")
    with load(tmp_path / "bundle") as predictor:
        made = export(predictor, "3", tmp_path / "phones", target="mobile")
    (device,) = made.devices
    assert made.proven
    assert device.answered > 20
    assert 0 <= max(device.largest.values()) < 1e-5
    asked = json.loads((tmp_path / "phones" / "golden.json").read_text())["asked"]
    rows = asked[0]["body"]["rows"]
    expected = net.predict(np.array([row["flower"] for row in rows], np.float32), verbose=0)
    (name,) = device.largest
    np.testing.assert_allclose([row[name] for row in asked[0]["told"]["rows"]], expected, atol=1e-5)


@pytest.mark.faults
def test_a_conversion_that_lies_is_told(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servable.pack(
        files[0].with_suffix(".keras"), name="flowers", sample={"flower": FLOWERS}, to="keep",
        output=tmp_path / "bundle",
    )  # fmt: skip
    with load(tmp_path / "bundle") as predictor:
        monkeypatch.setattr(lite, "converted", lambda _: files[1].read_bytes())
        with pytest.raises(ConversionRejected, match="converted to TFLite, 'flowers' answers otherwise"):
            export(predictor, "3", tmp_path / "phones", target="mobile", proof=False)
    assert not (tmp_path / "phones").exists()


@pytest.mark.faults
def test_operators_that_there_are_not_are_told_with_a_way_out(tmp_path: Path) -> None:
    save_odd(tmp_path / "odd")
    servable.pack(tmp_path / "odd", name="odd", to="keep", output=tmp_path / "bundle")
    told = "'odd' cannot be converted to TFLite: TFLite has no MatrixDeterminant. Pack it with --to onnx"
    with load(tmp_path / "bundle") as predictor, pytest.raises(ConversionRejected, match=told):
        export(predictor, "3", tmp_path / "phones", target="mobile")
    assert not (tmp_path / "phones").exists()
