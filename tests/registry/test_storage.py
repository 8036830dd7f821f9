from __future__ import annotations

import os
import stat

import pytest

from servable.bundles.open import open_bundle
from servable.errors import DigestMismatch, EnvironmentFault
from servable.registry.storage import Storage
from tests.packed import bundle_at


def test_a_bundle_is_taken_in_as_it_is(tmp_path):
    bundle = open_bundle(bundle_at(tmp_path / "b"))
    folder = Storage(tmp_path / "home" / "bundles").take_in(bundle)
    assert folder == tmp_path / "home" / "bundles" / bundle.digest
    assert open_bundle(folder).digest == bundle.digest
    assert {path.name for path in folder.parent.iterdir()} == {".lock", bundle.digest}


def test_files_and_folders_are_private(tmp_path):
    bundle = open_bundle(bundle_at(tmp_path / "b"))
    before = os.umask(0)
    try:
        folder = Storage(tmp_path / "home" / "bundles").take_in(bundle)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_what_a_dead_process_left_is_swept(tmp_path):
    storage = Storage(tmp_path / "home" / "bundles")
    left = storage.root / ".incoming-0123"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half a mod")
    storage.take_in(open_bundle(bundle_at(tmp_path / "b")))
    assert not left.exists()


def test_a_source_that_changes_while_it_is_copied_is_refused(tmp_path):
    bundle = open_bundle(bundle_at(tmp_path / "b"))
    with (tmp_path / "b" / "model.onnx").open("r+b") as model:
        model.write(b"\0")
    storage = Storage(tmp_path / "home" / "bundles")
    with pytest.raises(DigestMismatch):
        storage.take_in(bundle)
    assert [path.name for path in storage.root.iterdir()] == [".lock"]


def test_a_damaged_copy_is_replaced_by_a_good_one(tmp_path):
    bundle = open_bundle(bundle_at(tmp_path / "b"))
    storage = Storage(tmp_path / "home" / "bundles")
    damaged = storage.take_in(bundle) / "model.onnx"
    damaged.write_bytes(b"rust")
    open_bundle(storage.take_in(bundle))


def test_a_disk_that_refuses_is_told(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentFault, match=r"cannot store the bundle 'scaler'"):
        Storage(tmp_path / "home" / "bundles").take_in(open_bundle(bundle_at(tmp_path / "b")))


def test_removing_what_is_not_there_is_no_error(tmp_path):
    Storage(tmp_path / "home" / "bundles").remove("0" * 64)
