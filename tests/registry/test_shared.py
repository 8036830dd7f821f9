"""One registry of several machines: events in PostgreSQL, bundles in S3 or in a folder that all mount."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from servable.domain.bundle import MANIFEST
from servable.domain.ref import Ref
from servable.errors import DigestMismatch, NotFound
from servable.registry.registry import Registry
from servable.stores.blobs.port import blobs_at
from tests.objects import object_storage
from tests.packed import bundle_at
from tests.postgresql import postgresql


@pytest.fixture(scope="module")
def places():
    with postgresql() as database, object_storage("models") as bundles:
        yield database, f"{bundles}/team"


@pytest.fixture
def machine(tmp_path):
    """A machine: a home of its own, and the folder that all share."""

    def at(name: str) -> Registry:
        shared = tmp_path / "shared"
        return Registry(
            tmp_path / name, who=name, database=f"sqlite:///{shared}/registry.db", bundles=f"file://{shared}/bundles"
        )

    return at


def test_what_one_machine_registers_another_serves(places, tmp_path):
    database, bundles = places
    here = Registry(tmp_path / "here", who="ada", database=database, bundles=bundles)
    there = Registry(tmp_path / "there", who="eve", database=database, bundles=bundles)
    assert there.catalog().models == {}
    here.register(bundle_at(tmp_path / "b1"))
    version, bundle = there.open(Ref.parse("scaler"))
    assert (version.by, bundle.digest) == ("ada", version.digest)
    assert bundle.folder == tmp_path / "there" / "bundles" / version.digest
    there.promote(Ref.parse("scaler:1"))
    assert here.wanted()[0].aliases == {"champion": "1"}
    assert [event.who for event in here.history("scaler")] == ["ada", "eve"]
    assert not (tmp_path / "there" / "registry.db").exists()
    here.delete(Ref.parse("scaler"), purge=True)
    assert blobs_at(bundles).paths(version.digest) == []


def test_a_home_is_a_cache_that_may_be_lost(machine, tmp_path):
    here = machine("here")
    here.register(bundle_at(tmp_path / "b1"))
    shutil.rmtree(tmp_path / "here")
    assert here.open(Ref.parse("scaler"))[1].name == "scaler"


def test_a_bundle_that_was_changed_where_it_is_shared_is_not_fetched(machine, tmp_path):
    version = machine("here").register(bundle_at(tmp_path / "b1"))
    shared = tmp_path / "shared" / "bundles" / version.digest
    model = (shared / "model.onnx").read_bytes()
    (shared / "model.onnx").write_bytes(model[:-1] + b"\0")
    with pytest.raises(DigestMismatch):
        machine("there").open(Ref.parse("scaler"))
    stated = (shared / MANIFEST).read_text()
    (shared / MANIFEST).write_text(stated.replace('"model.onnx"', '"../../../model.onnx"'))
    with pytest.raises(DigestMismatch, match="it was changed"):
        machine("there").open(Ref.parse("scaler"))
    assert [path.name for path in (tmp_path / "there" / "bundles").iterdir()] == [".lock"]


def test_half_an_upload_is_no_bundle(machine, tmp_path):
    """Who died while it was uploaded left files without a manifest; the next registration completes them."""
    here = machine("here")
    folder = bundle_at(tmp_path / "b1")
    version = here.register(folder)
    (tmp_path / "shared" / "bundles" / version.digest / MANIFEST).unlink()
    with pytest.raises(NotFound, match="there is no"):
        machine("there").open(Ref.parse("scaler"))
    machine("elsewhere").register(folder)
    assert machine("there").open(Ref.parse("scaler"))[0].version == "1"


def test_one_home_needs_none_of_it(tmp_path):
    registry = Registry(tmp_path / "home")
    version = registry.register(bundle_at(tmp_path / "b1"))
    assert registry.folder(version) == Path(tmp_path / "home" / "bundles" / version.digest)


def test_one_bundle_that_cannot_be_fetched_holds_up_no_other(machine, tmp_path):
    here, there = machine("here"), machine("there")
    gone = here.register(bundle_at(tmp_path / "b1"))
    kept = here.register(bundle_at(tmp_path / "b2", "other"))
    shutil.rmtree(tmp_path / "shared" / "bundles" / gone.digest)
    assert not there.place(gone).exists()
    assert there.place(kept).is_dir()
