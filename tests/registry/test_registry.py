from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

import servable
from servable.domain.ref import Ref
from servable.domain.verdict import Verdict
from servable.errors import CheckFailed, Conflict, DigestMismatch, EnvironmentFault, NotFound, UsageError
from servable.registry.registry import Registry
from servable.release.acts import Acts
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
    assert [path.name for path in (tmp_path / "home" / "bundles").iterdir()] == [".lock"]
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


def test_a_version_that_a_release_uses_is_not_deleted(three):
    acts = Acts(three)
    acts.canary(Ref.parse("scaler:2"), 0.1)
    with pytest.raises(Conflict, match="scaler:2 is a canary: end it first"):
        three.delete("scaler:2")
    acts.rollback("scaler")
    three.delete("scaler:2")
    with pytest.raises(Conflict, match="scaler:3 is live: promote another first"):
        three.delete("scaler:3")


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


GOOD = Verdict("accuracy", passed=True, reason="0.95 is at least 0.9", numbers={"accuracy": 0.95})
BAD = Verdict("slices", passed=False, reason="0.7 in Lima", numbers={"p": float("nan")}, evidence={"rows": [3, 7]})


def test_verdicts_are_kept_as_they_were_said(three):
    three.record_verdicts(Ref.parse("scaler:2"), [GOOD, BAD])
    three.record_verdicts(Ref.parse("scaler:2"), [GOOD], source="probe")
    three.record_verdicts(Ref.parse("scaler:3"), [GOOD])
    first, _ = three.verdicts(Ref.parse("scaler:2"))
    assert (first.source, first.passed, first.who, first.version) == ("gate", False, "ada", "2")
    assert first.verdicts[0] == GOOD
    assert first.verdicts[1].evidence == BAD.evidence
    assert repr(first.verdicts[1].numbers) == "{'p': nan}"
    assert [judgement.source for judgement in three.verdicts(Ref.parse("scaler:2"), "probe")] == ["probe"]
    assert three.verdicts(Ref.parse("scaler:1")) == []
    assert not three.catalog().find(Ref.parse("scaler:2")).gate.passed
    assert three.catalog().find(Ref.parse("scaler:3")).gate.passed


def test_the_champion_has_passed_the_gate(three):
    three.record_verdicts(Ref.parse("scaler:2"), [GOOD, BAD])
    for act in (lambda: three.promote(Ref.parse("scaler:2")), lambda: three.alias("scaler", "champion", "2")):
        with pytest.raises(CheckFailed, match=r"scaler:2 cannot be scaler@champion: scaler:2 did not pass the gate"):
            act()
    three.promote(Ref.parse("scaler:2"), "challenger")
    three.promote(Ref.parse("scaler:3"))
    assert three.catalog().model("scaler").aliases == {"challenger": "2", "champion": "3"}


def test_an_override_stays_in_the_history_with_its_reason(three):
    three.record_verdicts(Ref.parse("scaler:2"), [BAD])
    with pytest.raises(CheckFailed):
        three.promote(Ref.parse("scaler:2"), override_reason="  ")
    three.promote(Ref.parse("scaler:2"), override_reason="the old one is worse; ticket 41")
    (event,) = [event for event in three.history("scaler") if event.kind == "aliased"]
    assert event.detail["override"] == "the old one is worse; ticket 41"
    assert "did not pass the gate" in event.detail["held_back"]


def test_no_verdicts_are_no_passed_gate(three):
    assert not three.record_verdicts(Ref.parse("scaler"), []).gate.passed


def test_tags(three):
    three.tag(Ref.parse("scaler:1"), {"team": "risk", "stage": "trial"})
    three.tag(Ref.parse("scaler:1"), {"stage": "done"})
    assert three.untag(Ref.parse("scaler:1"), ["team"]).tags == {"stage": "done"}
    assert three.catalog().find(Ref.parse("scaler:2")).tags == {}
    with pytest.raises(NotFound, match="no tag 'team' \\(there are: stage\\)"):
        three.untag(Ref.parse("scaler:1"), ["team"])
    with pytest.raises(UsageError, match="expected a word"):
        three.tag(Ref.parse("scaler:1"), {"": "x"})


def test_facts_are_noted_and_the_last_ones_hold(three):
    three.note("scaler", "suite", {"cases": 1})
    three.note("scaler", "suite", {"cases": 2})
    assert three.catalog().model("scaler").noted == {"suite": {"cases": 2}}
    with pytest.raises(CheckFailed, match="a regression suite of 2 cases"):
        three.promote(Ref.parse("scaler"))


def test_an_act_is_written_under_the_name_of_who_acted(three):
    three.acting("eve").tag(Ref.parse("scaler:1"), {"a": "b"})
    assert three.history("scaler")[-1].who == "eve"
    assert three.catalog().find(Ref.parse("scaler:1")).tags == {"a": "b"}


def test_what_others_write_is_seen(three, tmp_path):
    """One registry keeps its catalog; another process writes; the first reads only what came since."""
    assert len(three.catalog().model("scaler").versions) == 3
    Registry(tmp_path / "home").register(bundle_at(tmp_path / "b4", factor=4))
    assert len(three.catalog().model("scaler").versions) == 4


def test_a_journal_with_another_past_is_read_anew(three, tmp_path):
    assert len(three.catalog().model("scaler").versions) == 3
    (tmp_path / "home" / "registry.db").unlink()
    assert three.catalog().models == {}
    other = Registry(tmp_path / "home")
    for number in range(4):
        other.register(bundle_at(tmp_path / f"other{number}", "other", factor=number))
    assert list(three.catalog().models) == ["other"]


def test_in_python_a_ref_may_be_text(three, tmp_path):
    registry = servable.Registry(str(tmp_path / "home"), "eve")
    assert registry.promote("scaler:2").version == "2"
    assert registry.open("scaler@champion")[0].version == "2"
    assert registry.tag("scaler:1", {"a": "b"}).tags == {"a": "b"}
    assert registry.verdicts("scaler") == []
    assert [version.version for version in registry.delete("scaler:3")] == ["3"]
