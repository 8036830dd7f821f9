"""A new version that is broken, of every format, at a live server: one clear error, and the old version answers on."""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pytest

import servable
from servable.bundles import manifest
from servable.bundles.digest import of_tree
from servable.domain.bundle import MANIFEST
from tests.contracts.models import MODELS, Golden
from tests.e2e.serving import Serving

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore")]


def linked(data: bytes) -> bytes:
    """An archive with a link in it that leads out; what is no archive, as nothing at all."""
    file = io.BytesIO(data)
    if not zipfile.is_zipfile(file):
        return b""
    with zipfile.ZipFile(file, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return file.getvalue()


BREAK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "cut off": lambda data: data[: len(data) * 6 // 10],
    "empty": lambda _: b"",
    "a web page": lambda _: b"<!doctype html><html><body>404 Not Found</body></html>\n",
    "noise": lambda data: np.random.default_rng(7).bytes(min(len(data), 100_000)),
    "an archive with a link": linked,
}
TEXTS: Final = {"python", "mlflow"}
"""Formats whose file is text that people write: cut off, it may be whole text still."""


def placed(golden: Golden, folder: Path) -> tuple[Path, Path]:
    """A copy of the model to serve, and the largest file of it: what will be broken."""
    bundle = golden.bundle
    folder.mkdir()
    if not bundle.inferred:
        place = folder / "served"
        shutil.copytree(bundle.folder, place)
        held = [place / file.path for file in bundle.manifest.files if file.path.startswith(bundle.manifest.model)]
    elif bundle.model_path.is_dir():
        place = folder / bundle.model_path.name
        shutil.copytree(bundle.model_path, place)
        held = [path for path in place.rglob("*") if path.is_file()]
    else:
        place = folder / bundle.model_path.name
        shutil.copyfile(bundle.model_path, place)
        held = [place]
    return place, max(held, key=lambda path: path.stat().st_size)


def replaced(place: Path, file: Path, data: bytes) -> None:
    """Put other bytes in its place, with digests that agree: what is left to notice it is the format's own reader."""
    half = file.with_name(f"{file.name}.half")
    half.write_bytes(data)
    half.rename(file)
    if (place / MANIFEST).exists():
        told = manifest.loads((place / MANIFEST).read_bytes())
        (place / MANIFEST).write_bytes(manifest.dumps(msgspec.structs.replace(told, files=of_tree(place))))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_broken_version_is_told_and_the_old_one_answers_on(name: str, tmp_path: Path) -> None:
    golden = MODELS[name](tmp_path / "golden")
    place, file = placed(golden, tmp_path / "copy")
    with (
        Serving(tmp_path, place, workers=1).ready() as serving,
        servable.Client(f"http://{serving.host}:{serving.port}", timeout_s=120) as client,
    ):
        (served,) = [model["name"] for model in serving.ask("POST", "/v2/repository/index", {})[1]]
        rows = {key: column[1:3] for key, column in golden.rows.columns.items()}  # the first has gaps
        before = client.predict(served, rows)
        whole = file.read_bytes()
        for kind, broken in BREAK.items():
            if kind == "cut off" and name in TEXTS:
                continue
            replaced(place, file, broken(whole))
            status, body = serving.ask("POST", f"/v2/repository/models/{served}/load", {})
            assert status == 422, f"{kind}: {status} {body}"
            assert "\n" not in body["error"], kind
            assert "Traceback" not in body["error"], kind
            after = client.predict(served, rows)
            for output, array in before.items():
                np.testing.assert_array_equal(after[output], array, err_msg=f"{kind}: {output}")
        replaced(place, file, whole)
        status, body = serving.ask("POST", f"/v2/repository/models/{served}/load", {})
        assert status == 200, body
