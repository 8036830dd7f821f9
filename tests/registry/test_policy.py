from __future__ import annotations

import pytest

from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.errors import CheckFailed
from servable.registry.catalog import Catalog
from servable.registry.event import Event
from servable.registry.policy import held_back, wanted, with_fallbacks


def catalog(aliases: dict[str, int], deleted: tuple[int, ...] = (), names: tuple[str, ...] = ("churn",)) -> Catalog:
    """Each name with versions 1, 2 and 3; the first with the aliases and without the deleted."""
    events = [
        Event(0, 0.0, "ada", "registered", name, number, digest=f"{name}-{number}")
        for name in names
        for number in (1, 2, 3)
    ]
    events += [Event(0, 0.0, "ada", "aliased", names[0], number, alias) for alias, number in aliases.items()]
    events += [Event(0, 0.0, "ada", "deleted", names[0], number) for number in deleted]
    return Catalog.of(events)


@pytest.mark.parametrize(
    ("aliases", "deleted", "ref", "live", "loaded"),
    [
        ({}, (), "churn", "3", ["3"]),
        ({}, (3,), "churn", "2", ["2"]),
        ({"champion": 2}, (), "churn", "2", ["2"]),
        ({"champion": 1, "challenger": 3}, (), "churn", "1", ["1", "3"]),
        ({"challenger": 1}, (), "churn", "3", ["1", "3"]),
        ({"champion": 1, "best": 1}, (), "churn", "1", ["1"]),
        ({"champion": 1}, (), "churn:2", "2", ["2"]),
        ({"champion": 1}, (), "churn:1", "1", ["1"]),
        ({"champion": 1, "old": 2}, (), "churn@old", "2", ["2"]),
    ],
)
def test_which_versions_are_served(aliases, deleted, ref, live, loaded):
    (one,) = wanted(catalog(aliases, deleted), Ref.parse(ref))
    assert one.live == live
    assert [version.version for version in one.versions] == loaded
    assert one.aliases == {alias: str(number) for alias, number in aliases.items() if str(number) in loaded}


def test_without_a_ref_every_name_is_served():
    both = wanted(catalog({}, (1, 2, 3), names=("churn", "fraud")), None)
    assert [(one.name, one.live) for one in both] == [("fraud", "3")]


def test_an_empty_registry_wants_nothing():
    assert wanted(Catalog(), None) == ()


def judged(passed: bool, version: int, source: str = "gate") -> Event:
    return Event(0, 0.0, "ada", "judged", "churn", version, detail={"source": source, "passed": passed})


def registered(version: int, *checks: str) -> Event:
    return Event(0, 0.0, "ada", "registered", "churn", version, digest="d", detail={"checks": list(checks)})


SUITE = Event(0, 0.0, "ada", "noted", "churn", 0, detail={"what": "suite", "facts": {"cases": 7}})


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([registered(1)], ""),
        ([registered(1, "accuracy>=0.9")], "the gate has not been run on churn:1 (it demands accuracy>=0.9)"),
        ([registered(1, "accuracy>=0.9"), judged(True, 1)], ""),
        ([registered(1, "accuracy>=0.9"), judged(True, 1, "probe")], "the gate has not been run"),
        ([registered(1), judged(False, 1)], "churn:1 did not pass the gate"),
        ([registered(1), judged(False, 1), judged(True, 1)], ""),
        ([registered(1), judged(True, 1), judged(False, 1)], "did not pass"),
        ([registered(1), judged(False, 1, "canary")], ""),
        ([registered(1), SUITE], "a regression suite of 7 cases): run  servable check churn:1"),
        ([registered(1), SUITE, judged(True, 1)], ""),
    ],
)
def test_what_the_gate_holds_back(events, said):
    model = Catalog.of(events).model("churn")
    reason = held_back(model.versions[0], model)
    assert said in reason
    assert bool(said) == bool(reason)


def test_without_a_champion_the_newest_that_nothing_holds_back_is_live():
    events = [registered(1), registered(2, "accuracy>=0.9"), registered(3), judged(False, 3)]
    assert wanted(Catalog.of(events), Ref.parse("churn"))[0].live == "1"
    passed = [*events, judged(True, 2)]
    assert wanted(Catalog.of(passed), None)[0].live == "2"


def test_where_all_are_held_back_none_is_live_but_each_can_be_named():
    catalog = Catalog.of([registered(1, "accuracy>=0.9")])
    assert wanted(catalog, None) == ()
    with pytest.raises(CheckFailed, match=r"servable check churn:1\. To serve one all the same, name it: churn:1"):
        wanted(catalog, Ref.parse("churn"))
    assert wanted(catalog, Ref.parse("churn:1"))[0].live == "1"


def test_a_champion_stays_live_whatever_the_gate_says_later():
    events = [registered(1), Event(0, 0.0, "ada", "aliased", "churn", 1, "champion"), registered(2), judged(False, 1)]
    assert wanted(Catalog.of(events), Ref.parse("churn"))[0].live == "1"


def noted(seq: int, **release: object) -> Event:
    return Event(seq, 0.0, "ada", "noted", "churn", 0, detail={"what": "release", "facts": release})


CANARY = {"live": "1", "canary": "2", "canary_share": 0.05, "shadows": ["3"], "fallback": "churn:4"}


@pytest.mark.parametrize(
    ("later", "route", "loaded"),
    [
        ([], Route("1", "2", 0.05, ("3",), "churn:4"), ["1", "2", "3", "4"]),
        ([Event(0, 0.0, "a", "deleted", "churn", 2)], Route("1", shadows=("3",), fallback="churn:4"), ["1", "3", "4"]),
        ([Event(0, 0.0, "a", "deleted", "churn", 1)], Route("5"), ["5"]),
        ([Event(0, 0.0, "a", "aliased", "churn", 1, "champion")], Route("1", "2", 0.05, ("3",), "churn:4"), None),
        ([Event(0, 0.0, "a", "aliased", "churn", 3, "champion")], Route("3", fallback="churn:4"), ["3", "4"]),
        ([noted(9, route={"live": "5"})], Route("5"), ["5"]),
    ],
)
def test_a_release_says_the_route_as_far_as_it_still_holds(later, route, loaded):
    catalog = Catalog.of([*(registered(number) for number in range(1, 6)), noted(1, route=CANARY), *later])
    (one,) = wanted(catalog, Ref.parse("churn"))
    assert one.route == route
    assert loaded is None or [version.version for version in one.versions] == loaded


def test_a_model_that_is_fallen_back_to_is_served_as_well():
    other = Event(0, 0.0, "ada", "registered", "plain", 1, digest="p")
    catalog = Catalog.of([registered(1), other, noted(1, route={"live": "1", "fallback": "plain"})])
    served = with_fallbacks(catalog, wanted(catalog, Ref.parse("churn")))
    assert [one.name for one in served] == ["churn", "plain"]
    gone = catalog.after([Event(0, 0.0, "ada", "deleted", "plain", 1)])
    assert [one.name for one in with_fallbacks(gone, wanted(gone, Ref.parse("churn")))] == ["churn"]


@pytest.mark.parametrize(
    ("fallbacks", "loaded"),
    [
        (["plain"], {"churn": ["1"], "plain": ["2", "3"]}),
        (["plain:1"], {"churn": ["1"], "plain": ["1"]}),
        (["plain@best", "plain"], {"churn": ["1"], "plain": ["2", "3"]}),
        (["plain:1", "plain:3"], {"churn": ["1"], "plain": ["1", "3"]}),
        (["nobody", "plain:9", "plain@nothing"], {"churn": ["1"]}),
        (["churn"], {"churn": ["1"]}),
    ],
)
def test_what_rules_hand_rows_over_to_is_served_as_well(fallbacks, loaded):
    def came(name, number, **detail):
        return Event(0, 0.0, "ada", "registered", name, number, digest=f"{name}{number}", detail=detail)

    catalog = Catalog.of([
        came("churn", 1, fallbacks=fallbacks),
        *(came("plain", number) for number in (1, 2, 3)),
        Event(0, 0.0, "ada", "aliased", "plain", 2, "best"),
    ])  # fmt: skip
    served = with_fallbacks(catalog, wanted(catalog, Ref.parse("churn")))
    found = {one.name: [version.version for version in one.versions] for one in served}
    assert found == loaded


def test_fallbacks_of_fallbacks_are_served_too_and_circles_end():
    events = [
        Event(0, 0.0, "ada", "registered", name, 1, digest=name, detail={"fallbacks": [other]})
        for name, other in (("a", "b"), ("b", "c:1"), ("c", "a"))
    ]
    catalog = Catalog.of(events)
    assert {one.name for one in with_fallbacks(catalog, wanted(catalog, Ref.parse("a")))} == {"a", "b", "c"}
