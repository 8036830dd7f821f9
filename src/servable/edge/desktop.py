"""Writes a model for desktops: one archive that Python runs, with Servable's own code in it, as far as it is needed."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.bundles.golden import GOLDEN, golden_bytes, golden_rows
from servable.bundles.guard import calibration_of
from servable.domain.bundle import File, Manifest
from servable.edge.bare_python import bare_python
from servable.edge.carried import carried
from servable.edge.contract import MODEL
from servable.edge.devices import TIMEOUT_S, Ran
from servable.edge.edition import Edition
from servable.edge.life import OPTIONS, Life, RecordsHome
from servable.edge.obstacles import tokens
from servable.edge.program.held import FACTS, FOLDER, Facts
from servable.edge.program.settings import LIFE, Settings
from servable.edge.publishable import PROGRAM
from servable.edge.target import Target
from servable.errors import ModelFailed
from servable.rules.calibration import CALIBRATION, calibration_bytes

_ENTRY: Final = "servable.edge.program.__main__"
_COMMANDS: Final = "servable.edge.program.commands"
_BARE: Final = "servable.edge.program.bare"
LIBRARIES: Final = ("msgspec", "orjson", "simdjson")
"""What the code needs beside numpy and onnxruntime, carried in plain Python."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def write(edition: Edition, folder: Path, _: frozenset[str]) -> None:
    """Write the program. Equal editions give equal bytes."""
    path = folder / PROGRAM
    life = {} if edition.life is None else {LIFE: msgspec.json.encode(_settings(edition.life))}
    path.write_bytes(b"#!/usr/bin/env python3\n" + _zipped(_code() | _model(edition) | life))
    path.chmod(0o755)


def sizes(edition: Edition, folder: Path) -> dict[str, int]:
    """What is downloaded, without Python and onnxruntime."""
    return {
        "the program": (folder / PROGRAM).stat().st_size,
        "its code": len(_zipped(_code())),
        "the model": len(edition.model),
    }


def in_python(folder: Path, bodies: Sequence[Any]) -> Ran:
    """The answers of the program, run by a Python that has onnxruntime and nothing else. Raises ModelFailed."""
    with bare_python() as (command, environment), tempfile.TemporaryDirectory(prefix="servable-edge-") as place:
        asked = Path(place) / "bodies.json"
        asked.write_text(json.dumps({"bodies": list(bodies)}), encoding="utf-8")
        began = time.time()
        done = subprocess.run(
            [*command, str(folder.resolve() / PROGRAM), "prove", str(asked)],
            env=environment, cwd=place, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    if done.returncode:
        raise ModelFailed(f"the exported program fails: {done.stderr.strip()[-800:]}")
    told = json.loads(done.stdout)
    return Ran(f"Python {platform.python_version()}", told["told"], (told["first"] - began) * 1000, told["p50_ms"])


def _code() -> dict[str, bytes]:
    """The program, what it imports, and the stand-ins at the root, where they are found before anything installed."""
    code = carried([_ENTRY, _COMMANDS])
    own = carried([f"{_BARE}.{library}" for library in LIBRARIES])
    prefix = f"{_BARE.replace('.', '/')}/"
    code |= {path.removeprefix(prefix): source for path, source in own.items() if path.startswith(prefix)}
    del code["__init__.py"]
    code["__main__.py"] = code.pop(f"{_ENTRY.replace('.', '/')}.py")
    return code


def _settings(life: Life) -> Settings:
    """What the program is told of its life."""
    records = life.records or RecordsHome(0.0)
    return Settings(
        life.name, life.sequence, life.updates, life.trusted, life.every_s, life.grace_s, life.server, life.slowest_ms,
        records.share, records.columns, records.most,
    )  # fmt: skip


def _model(edition: Edition) -> dict[str, bytes]:
    """The edition as a bundle of its own: what answering needs, and golden rows that it answers itself."""
    stated = edition.bundle.manifest
    files = {MODEL: edition.model, GOLDEN: _golden(edition)}
    if (learned := calibration_of(edition.bundle)) is not None:
        files[CALIBRATION] = calibration_bytes(learned)
    manifest = Manifest(
        name=stated.name, format=stated.format, model=MODEL, platform=stated.platform, signature=stated.signature,
        files=tuple(File(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()),
        golden=GOLDEN, labels=stated.labels, libraries=stated.libraries, options=stated.options, rules=stated.rules,
        calibration=CALIBRATION if CALIBRATION in files else None,
    )  # fmt: skip
    facts = Facts(manifest, edition.version, edition.bundle.digest, edition.variant, edition.alone)
    files[FACTS] = msgspec.json.encode(facts)
    return {f"{FOLDER}/{name}": data for name, data in files.items()}


def _golden(edition: Edition) -> bytes:
    rows = golden_rows(edition.bundle) or edition.bundle.signature.example()
    model = edition.opened()
    try:
        return golden_bytes(rows, model.predict(rows), edition.relative, edition.absolute)
    finally:
        model.close()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            told = zipfile.ZipInfo(name, _EPOCH)
            told.external_attr = 0o644 << 16
            archive.writestr(told, data, zipfile.ZIP_DEFLATED, 9)
    return held.getvalue()


def runtimes() -> dict[str, str]:
    """What runs it: the onnxruntime of this machine, which every report names, and Python."""
    return {"Python": platform.python_version()}


TARGET: Final = Target("desktop", write, (in_python,), sizes, runtimes, (tokens,), OPTIONS)
