from __future__ import annotations

from pathlib import Path

import pytest

from servable.bundles.open import open_bundle
from servable.errors import CorruptModel, DigestMismatch
from servable.runtimes import verified
from tests.packed import bundle_at


def test_a_copy_is_of_checked_bytes_and_gone_afterwards(tmp_path):
    bundle = open_bundle(bundle_at(tmp_path / "b"))
    with verified.copied(bundle) as path:
        assert path.read_bytes() == bundle.model_path.read_bytes()
        assert path.parent.stat().st_mode & 0o077 == 0
        bundle.model_path.write_bytes(b"exchanged after the copy")
        assert path.read_bytes() != bundle.model_path.read_bytes()
    assert not path.exists()


def test_what_was_exchanged_between_the_check_and_the_load_is_never_loaded(tmp_path):
    """The bundle was opened, and so checked; then somebody exchanges the file."""
    bundle = open_bundle(bundle_at(tmp_path / "b"))
    other: Path = bundle_at(tmp_path / "other", factor=9) / "model.onnx"
    bundle.model_path.write_bytes(other.read_bytes())
    with pytest.raises(DigestMismatch, match="changed or damaged after packing"), verified.copied(bundle):
        pytest.fail("it was handed over")
    with pytest.raises(DigestMismatch):
        verified.read(bundle)


def test_a_pinned_file_is_the_one_that_was_checked_whatever_takes_its_name(tmp_path):
    bundle = open_bundle(bundle_at(tmp_path / "b"))
    data = bundle.model_path.read_bytes()
    with verified.pinned(bundle) as path:
        (tmp_path / "other").write_bytes(b"another model under its name")
        (tmp_path / "other").replace(bundle.model_path)
        assert path.read_bytes() == data
    with pytest.raises(DigestMismatch, match="changed or damaged"), verified.pinned(bundle):
        pytest.fail("it was handed over")
    bundle.model_path.unlink()
    with pytest.raises(CorruptModel, match="cannot read"), verified.pinned(bundle):
        pytest.fail("it was handed over")
