"""What may be done with a release, and what the registry then wants to be served."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from servable.bundles.digest import of_tree
from servable.bundles.manifest import dumps
from servable.bundles.open import open_bundle
from servable.domain.bundle import MANIFEST
from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.domain.terms import Terms
from servable.domain.verdict import Verdict
from servable.errors import CheckFailed, Conflict, InvalidInput, NotFound, UsageError
from servable.registry.news import News
from servable.registry.policy import wanted, with_fallbacks
from servable.registry.registry import Registry
from servable.release.acts import Acts
from tests.packed import bandit_at, bundle_at, scaler

ONE, TWO, THREE = (Ref("scaler", number) for number in "123")


@pytest.fixture
def acts(tmp_path: Path) -> Acts:
    """Versions 1, 2 and 3 of `scaler`, the first of them champion, under a clock that ticks."""
    ticks = iter(range(1000, 2000))
    registry = Registry(tmp_path / "home", who="ada", now=lambda: float(next(ticks)))
    for factor in (1, 2, 3):
        registry.register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    registry.promote(ONE)
    return Acts(registry, now=lambda: float(next(ticks)))


def route(acts: Acts) -> Route:
    """What a server would do."""
    return acts.registry.wanted(Ref("scaler"))[0].route


def test_a_canary_from_its_first_request_to_its_promotion(acts):
    acts.canary(TWO, 0.05, Terms(least_requests=7))
    first = route(acts)
    assert (first.live, first.canary, first.canary_share) == ("1", "2", 0.05)
    wider = acts.canary(TWO, 0.5)
    assert wider.terms.least_requests == 7
    met = {str(n) for n in range(500) if first.choose(str(n)) == "2"}
    assert met <= {str(n) for n in range(500) if wider.route.choose(str(n)) == "2"}
    acts.promote(Ref("scaler"))
    assert route(acts) == Route("2")
    assert acts.registry.catalog().find(Ref("scaler", alias="champion")).version == "2"


def test_another_canary_meets_others(acts):
    one = acts.canary(TWO, 0.5).route
    acts.rollback("scaler")
    other = acts.canary(TWO, 0.5).route
    assert {one.choose(str(n)) == other.choose(str(n)) for n in range(50)} == {True, False}


@pytest.fixture
def with_bandit(acts: Acts, tmp_path: Path) -> Acts:
    """And one that chooses between versions 1 and 2."""
    acts.registry.register(bandit_at(tmp_path / "choice", ["1", "2"], {"x": "FP32 [-1, 2]"}))
    return acts


def test_a_bandit_chooses_until_it_is_ended(with_bandit):
    acts = with_bandit
    acts.shadow(TWO)
    acts.bandit("scaler", Ref("choice"))
    chosen = route(acts)
    assert (chosen.live, chosen.bandit, chosen.arms, chosen.shadows) == ("1", "choice", ("1", "2"), ())
    assert [one.version for one in acts.registry.wanted(Ref("scaler"))[0].versions] == ["1", "2"]
    catalog = acts.registry.catalog()
    assert {one.name for one in with_fallbacks(catalog, wanted(catalog, Ref("scaler")))} == {"scaler", "choice"}
    with pytest.raises(Conflict, match=r"choice chooses among versions of scaler: end that first"):
        acts.canary(THREE, 0.1)
    with pytest.raises(UsageError, match="answers requests itself"):
        acts.shadow(TWO)
    for gone in (TWO, Ref("choice", "1")):
        with pytest.raises(Conflict, match="choice"):
            acts.registry.delete(gone)
    assert acts.rollback("scaler").reason == "choice chooses no more: by hand"
    assert route(acts) == Route("1")
    acts.bandit("scaler", Ref("choice", "1"))
    acts.promote(TWO)
    assert route(acts) == Route("2")


def test_what_cannot_choose_among_versions_is_told(with_bandit, tmp_path):
    acts = with_bandit
    for name, actions, inputs in (
        ("offers", ["call", "write"], {"x": "FP32 [-1, 2]"}),
        ("other", ["1", "2"], {"x": "FP64 [-1, 2]"}),
        ("more", ["1", "2"], {"y": "FP32"}),
        ("beyond", ["1", "9"], {"x": "FP32 [-1, 2]"}),
    ):
        acts.registry.register(bandit_at(tmp_path / name, actions, inputs, name))
    for name, kind, said in (
        ("scaler", UsageError, "got a model that chooses nothing"),
        ("offers", UsageError, r"a bandit whose actions are versions of scaler.* got \['call', 'write'\]"),
        ("other", UsageError, "the input 'x' is .*and the bandit takes .*FP64"),
        ("more", UsageError, "there is no input 'y'"),
        ("beyond", NotFound, "no version '9'"),
    ):
        with pytest.raises(kind, match=said):
            acts.bandit("scaler", Ref(name))
    acts.canary(THREE, 0.1)
    with pytest.raises(Conflict, match="scaler:3 is a canary"):
        acts.bandit("scaler", Ref("choice"))
    acts.rollback("scaler")
    acts.registry.record_verdicts(TWO, [Verdict("accuracy", passed=False, reason="low")])
    with pytest.raises(CheckFailed, match="scaler:2 may answer nobody"):
        acts.bandit("scaler", Ref("choice"))
    assert acts.bandit("scaler", Ref("choice"), "known").reason == "choice chooses among 1, 2; known"


def test_a_version_that_learns_is_no_arm(acts, tmp_path):
    for number in "12":
        acts.registry.register(bandit_at(tmp_path / number, ["1", number * 2], {"x": "FP32"}, "pupil"))
    acts.registry.register(bandit_at(tmp_path / "choice", ["1", "2"], {"x": "FP32"}))
    with pytest.raises(UsageError, match="pupil:1 learns itself"):
        acts.bandit("pupil", Ref("choice"))


def test_a_canary_is_rolled_back_and_then_the_champion_too(acts):
    acts.promote(TWO)
    acts.canary(THREE, 0.1)
    acts.rollback("scaler", "slow")
    assert route(acts) == Route("2")
    acts.rollback("scaler", "wrong")
    assert route(acts) == Route("1")
    assert acts.release("scaler").reason == "rolled back from 2: wrong"
    assert acts.registry.catalog().find(Ref("scaler", alias="champion")).version == "1"


def test_with_one_champion_there_is_nothing_to_undo(acts):
    with pytest.raises(Conflict, match="neither a canary nor a champion before scaler:1"):
        acts.rollback("scaler")


def test_shadows_come_and_go(acts):
    acts.shadow(TWO)
    acts.shadow(THREE)
    acts.shadow(TWO)
    assert route(acts).shadows == ("3", "2")
    acts.shadow(THREE, remove=True)
    assert route(acts).shadows == ("2",)
    acts.canary(TWO, 0.1)
    assert route(acts).shadows == ()
    with pytest.raises(UsageError, match="answers requests itself"):
        acts.shadow(TWO)
    with pytest.raises(Conflict, match="is no shadow"):
        acts.shadow(THREE, remove=True)


def test_a_fallback_outlives_a_promotion(acts):
    acts.fallback("scaler", "scaler:3", {"y": 0.0})
    acts.promote(TWO)
    assert route(acts) == Route("2", fallback="scaler:3", fallback_value={"y": 0.0})
    acts.fallback("scaler")
    assert route(acts) == Route("2")
    with pytest.raises(NotFound):
        acts.fallback("scaler", "nobody:1")
    with pytest.raises(InvalidInput, match="'z': there is no such output"):
        acts.fallback("scaler", value={"z": 1, "y": 2})
    with pytest.raises(InvalidInput, match="'y': expected"):
        acts.fallback("scaler", value={"y": "much"})


def test_what_the_gate_holds_back_answers_nobody(acts):
    acts.registry.record_verdicts(TWO, [Verdict("accuracy", passed=False, reason="0.7 is below 0.9")])
    with pytest.raises(CheckFailed, match="did not pass the gate"):
        acts.canary(TWO, 0.05)
    with pytest.raises(CheckFailed, match="did not pass the gate"):
        acts.promote(TWO)
    acts.shadow(TWO)
    assert acts.canary(TWO, 0.05, override_reason="we look closely").reason.endswith("we look closely")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 5.0])
def test_shares_that_make_no_sense(acts, share):
    with pytest.raises(UsageError, match="share"):
        acts.canary(TWO, share)


def test_the_live_version_is_no_canary(acts):
    with pytest.raises(UsageError, match="is the live version"):
        acts.canary(ONE, 0.1)
    with pytest.raises(UsageError, match="no canary"):
        acts.promote(Ref("scaler"))


def test_what_could_not_be_taken_up_is_undone(acts):
    standing = route(acts)
    acts.promote(TWO)
    acts.restore("scaler", standing, "not taken up: it does not load")
    assert route(acts) == Route("1")


def test_news_are_releases_and_aliases(acts, tmp_path):
    news = News(acts.registry)
    assert news.names() == set()
    acts.registry.register(bundle_at(tmp_path / "other", name="other", factor=4))
    assert news.names() == set()
    acts.shadow(TWO)
    assert news.names() == {"scaler"}
    assert news.names() == set()
    acts.registry.alias("other", "best", "1")
    assert news.names() == {"other"}
    assert News(acts.registry).names() == {"scaler"}  # what may have changed since its server read it


def test_a_canary_keeps_the_contract(acts, tmp_path):
    bare = open_bundle(scaler(tmp_path / "other" / "model.onnx"), name="scaler")
    (narrow,) = (msgspec.structs.replace(field, low=0.0) for field in bare.signature.inputs)
    signature = msgspec.structs.replace(bare.signature, inputs=(narrow,))
    manifest = msgspec.structs.replace(bare.manifest, files=of_tree(tmp_path / "other"), signature=signature)
    (tmp_path / "other" / MANIFEST).write_bytes(dumps(manifest))
    version = acts.registry.register(tmp_path / "other").version
    with pytest.raises(CheckFailed, match="the input 'x' has a lower bound of 0"):
        acts.canary(Ref("scaler", version), 0.1)
    acts.canary(Ref("scaler", version), 0.1, override_reason="nobody has debts")


def test_a_parent_that_undoes_an_act_needs_no_arrays():
    lean = "import sys, servable.release.acts, servable.registry.news; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", lean], check=True)
