"""The runtime that goes with every export is the release that was tried, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from servable.edge import web_runtime
from servable.edge.web_runtime import FILES, INTEGRITY, VERSION, cache_folder, read_files
from servable.errors import DigestMismatch, EnvironmentFault

ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"


def test_an_archive_of_another_digest_is_not_unpacked(tmp_path: Path) -> None:
    whole = (cache_folder() / ARCHIVE).read_bytes() if read_files(FILES) else b""
    changed = tmp_path / ARCHIVE
    changed.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DigestMismatch, match="remove it and export again") as told:
        read_files(FILES, tmp_path)
    assert INTEGRITY in told.value.message


def test_what_npm_brings_is_held_against_the_digest_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(folder: Path) -> Path:
        (folder / "x.tgz").write_bytes(b"another release")
        return folder / "x.tgz"

    monkeypatch.setattr(web_runtime, "_fetch", fetch)
    with pytest.raises(DigestMismatch, match="expected sha512-"):
        read_files(FILES, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_npm_the_way_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=f"npm pack onnxruntime-web@{VERSION}"):
        read_files(FILES, tmp_path)
