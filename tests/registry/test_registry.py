from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from servable.domain.ref import Ref
from servable.errors import Conflict, DigestMismatch, EnvironmentFault, NotFound, UsageError
from servable.registry.registry import Registry
from tests.packed import bundle_at, digest_of, scaler


@pytest.fixture
def registry(tmp_path) -> Registry:
    """Of a home that does not exist yet, under a clock that ticks."""
    ticks = iter(range(1000, 2000))
    return Registry(tmp_path / "home", who="ada", now=lambda: float(next(ticks)))


@pytest.fixture
def three(registry, tmp_path) -> Registry:
    """Versions 1, 2 and 3 of `scaler`."""
    for factor in (1, 2, 3):
        registry.register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    return registry


def test_versions_count_up(three, tmp_path):
    versions = three.catalog().model("scaler").versions
    assert [version.version for version in versions] == ["1", "2", "3"]
    assert [version.digest for version in versions] == [digest_of(tmp_path / f"b{n}") for n in (1, 2, 3)]
    assert versions[0].by == "ada"
    assert versions[0].detail["format"] == "onnx"
    version, bundle = three.open(Ref.parse("scaler:2"))
    assert bundle.digest == version.digest == digest_of(tmp_path / "b2")


def test_the_same_bundle_again_is_the_same_version(three, tmp_path):
    assert three.register(tmp_path / "b2").version == "2"
    assert len(three.catalog().model("scaler").versions) == 3


def test_a_bare_model_is_not_registered(registry, tmp_path):
    with pytest.raises(UsageError, match="pack it first"):
        registry.register(scaler(tmp_path / "bare" / "m.onnx"))
    assert not (tmp_path / "home").exists()


def test_aliases(three):
    three.alias("scaler", "champion", "2")
    assert three.wanted()[0].live == "2"
    three.alias("scaler", "champion", "3")
    three.alias("scaler", "champion", "3")
    three.unalias("scaler", "champion")
    assert three.catalog().model("scaler").aliases == {}
    told = [(event.kind, event.version, event.alias, event.who, event.time) for event in three.history("scaler")]
    assert told[3:] == [
        ("aliased", 2, "champion", "ada", 1003.0),
        ("aliased", 3, "champion", "ada", 1004.0),
        ("unaliased", 3, "champion", "ada", 1005.0),
    ]


@pytest.mark.parametrize(
    ("alias", "version", "error", "said"),
    [
        ("champion", "9", NotFound, "no version '9'"),
        ("7", "1", UsageError, "cannot be a number"),
        ("../up", "1", UsageError, "does not name a model"),
    ],
)
def test_aliases_that_cannot_be(three, alias, version, error, said):
    with pytest.raises(error, match=said):
        three.alias("scaler", alias, version)
    assert three.catalog().model("scaler").aliases == {}


def test_a_deleted_version_keeps_its_number_and_its_files(three, tmp_path):
    assert [version.version for version in three.delete(Ref.parse("scaler:3"))] == ["3"]
    with pytest.raises(NotFound):
        three.open(Ref.parse("scaler:3"))
    assert (tmp_path / "home" / "bundles" / digest_of(tmp_path / "b3")).is_dir()
    assert three.register(bundle_at(tmp_path / "b4", factor=4)).version == "4"


def test_a_deleted_bundle_may_come_back_as_a_new_version(three, tmp_path):
    three.delete(Ref.parse("scaler:3"))
    assert three.register(tmp_path / "b3").version == "4"


def test_purging_removes_files_that_nothing_else_needs(registry, tmp_path):
    registry.register(bundle_at(tmp_path / "b"))
    registry.delete(Ref.parse("scaler"), purge=True)
    assert list((tmp_path / "home" / "bundles").iterdir()) == []
    registry.register(tmp_path / "b")
    assert registry.open(Ref.parse("scaler"))[0].version == "2"


def test_a_version_that_an_alias_points_at_is_not_deleted(three):
    three.alias("scaler", "champion", "1")
    with pytest.raises(Conflict, match="scaler:1 is scaler@champion: point the alias elsewhere"):
        three.delete(Ref.parse("scaler:1"))
    three.delete(Ref.parse("scaler"))  # a whole name goes with its aliases
    with pytest.raises(NotFound, match="no model 'scaler' is registered"):
        three.open(Ref.parse("scaler"))
    assert [event.kind for event in three.history("scaler")][-4:] == ["unaliased", "deleted", "deleted", "deleted"]


def test_a_bundle_that_was_changed_in_the_home_is_not_opened(three, tmp_path):
    (tmp_path / "home" / "bundles" / digest_of(tmp_path / "b1") / "model.onnx").write_bytes(b"other bytes")
    with pytest.raises(DigestMismatch):
        three.open(Ref.parse("scaler:1"))


def test_the_home_is_private(three, tmp_path):
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "home" / "registry.db").stat().st_mode) == 0o600


def test_reading_makes_nothing(registry, tmp_path):
    assert registry.catalog().models == {}
    assert registry.wanted() == ()
    with pytest.raises(NotFound, match="there are: none"):
        registry.history("scaler")
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_is_told(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(EnvironmentFault, match="choose another with --home"):
        Registry(tmp_path / "home").register(bundle_at(tmp_path / "b"))


def _register(home: Path, folder: Path) -> None:
    Registry(home).register(folder)


def test_processes_that_register_at_once_take_turns(tmp_path):
    """Eight at once, two of each bundle: four versions, none lost, none twice."""
    folders = [bundle_at(tmp_path / f"b{n}", factor=n) for n in range(4)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_register, args=(tmp_path / "home", folder)) for folder in folders * 2]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {process.exitcode for process in processes} == {0}
    versions = Registry(tmp_path / "home").catalog().model("scaler").versions
    assert [version.version for version in versions] == ["1", "2", "3", "4"]
    assert {version.digest for version in versions} == {digest_of(folder) for folder in folders}
