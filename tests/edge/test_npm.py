"""The export is a package that npm packs and installs, and whose types and code a program finds by its name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from servable.bundles.load import Predictor
from servable.edge.served import answers
from tests.edge.test_types import checked

PROGRAM = """
import { load, ServableError } from "loan";

const model = await load();
try {
  const { rows } = await model.predict([{ age: 40, income: null, city: "north", kind: "a" }]);
  console.log(JSON.stringify(rows));
  await model.predict([{ age: 17 }]);
} catch (error) {
  if (error instanceof ServableError) console.log(JSON.stringify(error.code));
}
"""


def ran(place: Path, *words: object) -> str:
    done = subprocess.run([*map(str, words)], cwd=place, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project in which the package was installed, without a network."""
    place = tmp_path_factory.mktemp("project")
    ran(place, "npm", "init", "--yes")
    ran(place, "npm", "install", "--offline", "--no-audit", "--no-fund", package)
    return place


def test_npm_packs_all_that_it_needs(package: Path) -> None:
    (told,) = json.loads(ran(package, "npm", "pack", "--dry-run", "--json"))
    packed = {file["path"] for file in told["files"]}
    assert (told["name"], told["version"], told["bundled"]) == ("loan", "3.0.0", [])
    assert packed == {str(file.relative_to(package)) for file in package.rglob("*") if file.is_file()}
    assert {"index.d.ts", "browser.js", "node.js", "model.onnx", "ort/ort-wasm-simd-threaded.wasm"} <= packed


def test_an_empty_project_installs_it_and_a_program_asks_it(project: Path, predictor: Predictor) -> None:
    assert list(json.loads((project / "package.json").read_text())["dependencies"]) == ["loan"]
    (project / "asked.mjs").write_text(PROGRAM)
    rows, code = map(json.loads, ran(project, "node", "asked.mjs").splitlines())
    body: Any = {"rows": [{"age": 40, "income": None, "city": "north", "kind": "a"}]}
    (expected,) = answers(predictor, "3", [body])
    assert rows[0]["prediction"] == pytest.approx(expected["rows"][0]["prediction"], rel=1e-5)
    assert code == "refused"


@pytest.mark.platforms
def test_the_program_is_right_for_typescript_and_a_wrong_one_is_not(project: Path) -> None:
    assert checked(project, PROGRAM) == ""
    assert "TS2322" in checked(project, PROGRAM.replace("age: 40", "age: new Date()"))
    assert "TS2724" in checked(project, PROGRAM.replace("{ load,", "{ loaded,"))
