"""The types of the packages are those that TypeScript takes, and tell what is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from servable.bundles.load import Predictor
from servable.edge import react_native
from servable.edge.edition import edition_of

pytestmark = [pytest.mark.platforms, pytest.mark.timeout(300)]
TSC = Path(__file__).parents[2] / ".venv/npm/node_modules/.bin/tsc"
STRICT = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom")
PHONE = """
import { differences, load, ServableError, type Row } from "./package/phone.js";

export async function asked(bytes: Uint8Array, rows: Row[]): Promise<string> {
  const model = await load(bytes);
  try {
    return (await differences(model)).concat((await model.predict(rows)).model_version).join();
  } catch (error) {
    return error instanceof ServableError ? `${error.code}: ${error.faults ?? []}` : "";
  }
}
"""


def checked(place: Path, script: str) -> str:
    """What TypeScript says of a script in a folder; nothing: it is right."""
    assert TSC.exists(), f"{TSC} is needed: run  make test-platforms"
    (place / "asked.mts").write_text(script)
    told = subprocess.run([TSC, *STRICT, "asked.mts"], cwd=place, capture_output=True, text=True, check=False)
    return told.stdout


def test_react_native(predictor: Predictor, tmp_path: Path) -> None:
    react_native.write(edition_of(predictor.bundle, "3"), tmp_path / "package", frozenset())
    assert checked(tmp_path, PHONE) == ""
    assert "TS2345" in checked(tmp_path, PHONE.replace("load(bytes)", 'load("model.ort")'))
