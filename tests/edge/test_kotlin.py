"""The sources for Android, compiled, read and refuse rows as the server does. onnxruntime is there by name alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from servable.bundles.load import Predictor
from servable.bundles.opened import Opened
from servable.bundles.signatures import signed
from servable.edge.cases import bodies
from servable.edge.contract import contract_of
from servable.edge.edition import edition_of
from servable.edge.export import export
from servable.edge.life import life_of
from servable.edge.publish import publish
from servable.edge.publishable import ASSETS, SETTINGS
from servable.errors import ServableError
from servable.rules.refusal import refusal
from servable.rules.view import View
from servable.wire.open_inference import Codec
from tests.edge.simple import simple
from tests.edge.updating import Publisher

pytestmark = [pytest.mark.platforms, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
LIBRARIES = ROOT / ".venv/npm/node_modules/kotlin-compiler/lib"
JSON = [Path("/usr/share/java/com.android.json.jar"), Path("/usr/share/java/com.android.json-android-10.0.0.jar")]
SOURCES = ROOT / "src/servable/edge/phone/android/src/main/kotlin/servable"
HERE = Path(__file__).parent / "kotlin"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path of what was compiled."""
    for needed in (LIBRARIES, *JSON):
        assert needed.exists(), f"{needed} is needed: run  make test-platforms"
    place = tmp_path_factory.mktemp("kotlin")
    path = ":".join(map(str, [place, LIBRARIES / "kotlin-stdlib.jar", *JSON]))
    subprocess.run(["javac", "-d", place, *(HERE / "ai/onnxruntime").glob("*.java")], check=True)
    compiler = ":".join(
        str(LIBRARIES / f"{name}.jar") for name in ("kotlin-compiler", "kotlin-stdlib", "kotlin-reflect")
    )
    done = subprocess.run(
        ["java", "-Xmx1g", "-cp", compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect",
         "-Werror", "-cp", path, "-d", place, *SOURCES.glob("*.kt"), HERE / "Main.kt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path


def test_contract_and_rules_are_those_of_the_server(compiled: str, predictor: Predictor, tmp_path: Path) -> None:
    bundle = simple(predictor.bundle)
    server = Predictor(Opened(bundle, predictor.model))
    asked = [body for body in bodies(bundle, bundle.signature) if is_rows(body.get("rows"))]
    (tmp_path / "contract.json").write_bytes(orjson.dumps(contract_of(edition_of(bundle, "3"))))
    (tmp_path / "bodies.json").write_text(json.dumps({"bodies": asked}))
    command = ["java", "-cp", compiled, "servable.MainKt", tmp_path / "contract.json", tmp_path / "bodies.json"]
    told = [json.loads(line) for line in subprocess.check_output(command, text=True).splitlines()]
    codes = []
    for body, found in zip(asked, told, strict=True):
        expected = made(server, body)
        assert found.get("code") == expected.get("code"), (body, found, expected)
        codes.append(found.get("code"))
        if "code" not in expected:
            assert found == expected, body
    assert min(codes.count(code) for code in (None, "invalid_input", "refused")) > 3, codes


def test_truths_and_lists_are_no_numbers(compiled: str, predictor: Predictor, tmp_path: Path) -> None:
    row = {"age": 40, "income": 3000, "city": "north", "kind": "a"}
    (tmp_path / "contract.json").write_bytes(orjson.dumps(contract_of(edition_of(simple(predictor.bundle), "3"))))
    rows = [{**row, "age": True}, {**row, "income": [1]}, {**row, "other": 1}, {"age": 40.5}]
    (tmp_path / "bodies.json").write_text(json.dumps({"bodies": [{"rows": rows}]}))
    command = ["java", "-cp", compiled, "servable.MainKt", tmp_path / "contract.json", tmp_path / "bodies.json"]
    told = json.loads(subprocess.check_output(command, text=True))
    assert told["code"] == "invalid_input"
    assert told["faults"] == [
        "'age': expected a number that fits INT64, got true (row 0)",
        "'age': expected a number that fits INT64, got 40.5 (row 3)",
        "'income': expected a number that fits FP32, got [1] (row 1)",
        "'other': expected a column of the model, got an unknown column",
    ]


def test_updates_are_verified_proven_and_swapped(compiled: str, world: Publisher, tmp_path: Path) -> None:
    updates, public = world.root / "phone-updates", signed(b"", world.key)[0]
    model = Predictor(Opened(simple(world.predictor.bundle), world.predictor.model))
    for version in "12":
        life = life_of(f"{world.url}phone-updates", [public])
        export(model, version, tmp_path / version, target="mobile", proof=False, life=life)
    settings = tmp_path / "1" / ASSETS / SETTINGS

    def look(folder: str, word: str = "") -> list[str]:
        command = ["java", "-cp", compiled, "servable.MainKt", "update", settings, tmp_path / folder, word]
        told = json.loads(subprocess.check_output(command, text=True))
        return [told["update"], told["version"], told["message"], told["stopped"]]

    assert look("a")[:2] == ["unreachable", "shipped"]
    update = publish(updates, world.key, tmp_path / "2", unproven=True)
    manifest = updates / "update.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good.replace(b'\\"version\\":\\"2\\"', b'\\"version\\":\\"3\\"'))
    assert look("a")[:2] == ["forged", "shipped"]
    manifest.write_text("<html>not found</html>")
    assert look("a")[:2] == ["damaged", "shipped"]
    manifest.write_bytes(good)
    file = updates / "files" / update.files["model.ort"].sha256
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert look("a")[:2] == ["damaged", "shipped"]
    file.write_bytes(whole)
    assert look("b", "bad")[:3] == [
        "rejected", "shipped", "version 2 is not taken: golden rows 0: 1, expected 2"
    ]  # fmt: skip
    assert look("b")[2] == "version 2 failed on this device before, and is not tried again"
    assert look("a")[:2] == ["installed", "2"]
    assert look("a")[:2] == ["current", "2"]
    publish(updates, world.key, withdrawn={"2": "wrong for the young"})
    assert look("a")[::3] == ["withdrawn", "version 2 was withdrawn: wrong for the young"]
    assert look("a", "back")[1] == "shipped"


def is_rows(rows: Any) -> bool:
    """Objects without what the sources are stricter about: truths and lists in the place of numbers."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return False
    return not any(isinstance(value, (bool, list)) for row in rows for value in row.values())


def made(server: Predictor, body: Any) -> dict[str, Any]:
    """What the server makes of a body before its model is asked."""
    guard = server._guard
    assert guard is not None
    with np.errstate(over="ignore"):
        try:
            batch = Codec(server.signature, "loan", "3").decode(orjson.dumps(body)).batch
            fired = guard.judge(batch)
            refusal(fired, guard._tests, View(guard._places, batch))
        except ServableError as error:
            return {"code": error.code}
    columns = {name: array.ravel().tolist() for name, array in guard._clipped(batch, fired).columns.items()}
    plain = {name: [None if value != value else value for value in values] for name, values in columns.items()}  # noqa: PLR0124 - NaN
    return {"columns": plain, "fired": {each.rule.name: each.rows.tolist() for each in fired}}
