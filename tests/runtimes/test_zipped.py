"""Archives that are models, with what leads out of them or swells in them: refused before anything is unpacked."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import servable
from servable.bundles.open import open_bundle
from servable.errors import UnsafeModel
from servable.runtimes import zipped
from tests.contracts.models import MODELS

pytestmark = pytest.mark.filterwarnings("ignore")


def link(archive: zipfile.ZipFile, root: str) -> None:
    entry = zipfile.ZipInfo(f"{root}link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def out(archive: zipfile.ZipFile, root: str) -> None:
    archive.writestr(f"{root}../../outside", b"written")


def absolute(archive: zipfile.ZipFile, root: str) -> None:
    del root
    archive.writestr("/outside", b"written")


def backslash(archive: zipfile.ZipFile, root: str) -> None:
    archive.writestr(f"{root}..\\outside", b"written")


def bomb(archive: zipfile.ZipFile, root: str) -> None:
    archive.writestr(f"{root}zeros", bytes(80 << 20), zipfile.ZIP_DEFLATED, 1)


def twice(archive: zipfile.ZipFile, root: str) -> None:
    del root
    archive.writestr(archive.namelist()[0], b"another")


ATTACKS: dict[str, tuple[Callable[[zipfile.ZipFile, str], None], str]] = {
    "a link": (link, "a link, '.*link'"),
    "a path out": (out, "a path that leads out of it: .*outside"),
    "an absolute path": (absolute, "a path that leads out of it: '/outside'"),
    "a path out by backslashes": (backslash, "a path that leads out of it"),
    "a bomb": (bomb, "[0-9]+ MiB in [0-9]+ KiB, more than weights do"),
    "a path twice": (twice, "twice"),
}
SAMPLE = {"x": np.zeros((2, 4), np.float32)}
KINDS = ["keras", "pytorch", "torchscript", "sklearn"]


@pytest.fixture(scope="module", params=KINDS)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    golden = MODELS[request.param](tmp_path_factory.mktemp(request.param) / "golden")
    path = golden.bundle.model_path
    assert zipfile.is_zipfile(path)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_leads_out_or_swells_is_refused_and_nothing_is_unpacked(sound: Path, attack: str, tmp_path: Path) -> None:
    add, said = ATTACKS[attack]
    folder = tmp_path / "inner" / "folder"
    folder.mkdir(parents=True)
    path = folder / sound.name
    data = io.BytesIO(sound.read_bytes())
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        root, slash, _ = archive.namelist()[0].partition("/")
        add(archive, root + slash)
    path.write_bytes(data.getvalue())
    # TorchScript says nothing of its inputs: only packing with a sample opens it.
    opened = (lambda: servable.pack(path, sample=SAMPLE, output=tmp_path / "bundle")) if path.suffix == ".pt" else None
    with pytest.raises(UnsafeModel, match=said) as caught:
        (opened or (lambda: open_bundle(path)))()
    assert "\n" not in caught.value.message
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == [path]
    assert not Path("/outside").exists()


def test_weights_that_are_hardly_compressed_pass_and_small_files_may_be_of_zeros(sound: Path) -> None:
    with zipfile.ZipFile(sound) as archive:
        zipped.judge(archive, sound.stat().st_size, sound.name)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))
    with zipfile.ZipFile(packed) as archive:
        zipped.judge(archive, len(packed.getvalue()), "m")
