from __future__ import annotations

import pytest

from servable.domain.ref import Ref
from servable.registry.catalog import Catalog
from servable.registry.event import Event
from servable.registry.policy import wanted


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
