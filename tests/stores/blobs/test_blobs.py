"""One suite for every place of blobs: a folder, and S3."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from servable.errors import EnvironmentFault, NotFound, UsageError
from servable.stores.blobs.port import Blobs, blobs_at
from tests.objects import object_storage


@pytest.fixture(scope="module")
def bucket():
    with object_storage("models") as url:
        yield url


@pytest.fixture(params=["files", "s3"])
def blobs(request, tmp_path) -> Blobs:
    if request.param == "files":
        return blobs_at(f"file://{tmp_path / 'shared'}")
    return blobs_at(f"{request.getfixturevalue('bucket')}/{abs(hash(request.node.name))}")


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "some"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def test_a_file_comes_back_as_it_was(blobs, file, tmp_path):
    blobs.put("d1/model.onnx", file)
    blobs.put("d1/more/notes", file)
    blobs.put("d2/model.onnx", file)
    blobs.get("d1/more/notes", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    assert blobs.has("d1/model.onnx")
    assert not blobs.has("d1/model")
    assert blobs.paths("d1") == ["d1/model.onnx", "d1/more/notes"]


def test_a_second_file_takes_the_place_of_the_first(blobs, file, tmp_path):
    blobs.put("a", file)
    file.write_bytes(b"other")
    blobs.put("a", file)
    blobs.get("a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"other"


def test_what_was_removed_is_gone(blobs, file, tmp_path):
    blobs.put("d1/a", file)
    blobs.remove("d1/a")
    blobs.remove("d1/a")
    assert blobs.paths("d1") == []
    with pytest.raises(NotFound, match="there is no 'd1/a' in"):
        blobs.get("d1/a", tmp_path / "copy")


def test_a_large_file_goes_in_parts(blobs, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as out:
        for part in range(13):
            out.write(bytes([part]) * 1_000_003)
    blobs.put("large", large)
    blobs.get("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()


def test_files_are_private(file, tmp_path):
    blobs_at(f"file://{tmp_path / 'shared'}").put("d/a", file)
    assert stat.S_IMODE((tmp_path / "shared" / "d" / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "shared" / "d").stat().st_mode) == 0o700


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b"])
def test_no_path_leads_out_of_the_folder(path, file, tmp_path):
    with pytest.raises(EnvironmentFault, match="no path inside"):
        blobs_at(f"file://{tmp_path / 'shared'}").put(path, file)


def test_a_folder_that_cannot_be_is_told(file, tmp_path):
    (tmp_path / "shared").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentFault, match="cannot write 'd/a' in file://"):
        blobs_at(f"file://{tmp_path / 'shared'}").put("d/a", file)


def test_a_bucket_that_is_not_there_is_told(bucket, file):
    with pytest.raises(EnvironmentFault, match="there is no such bucket"):
        blobs_at("s3://nowhere/x").put("a", file)


@pytest.mark.parametrize("url", ["ftp://here", "s3://", "file://relative", "bundles", "https://x"])
def test_other_places_are_refused(url):
    with pytest.raises(UsageError, match="expected file:///FOLDER, s3://BUCKET/PREFIX"):
        blobs_at(url)
