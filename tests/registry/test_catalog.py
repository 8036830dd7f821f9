from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servable.domain.ref import Ref
from servable.errors import NotFound
from servable.registry.catalog import Catalog
from servable.registry.event import Event, Kind


def event(kind: Kind, version: int, alias: str = "", name: str = "churn") -> Event:
    return Event(0, 0.0, "ada", kind, name, version, alias, f"digest-{version}" if kind == "registered" else "")


THREE = [event("registered", 1), event("registered", 2), event("registered", 3), event("aliased", 2, "champion")]


@pytest.mark.parametrize(
    ("ref", "version"),
    [("churn", "3"), ("churn:1", "1"), ("churn@champion", "2")],
)
def test_a_ref_finds_its_version(ref, version):
    assert Catalog.of(THREE).find(Ref.parse(ref)).version == version


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("chrun", "no model 'chrun' is registered (there are: churn)"),
        ("churn:7", "'churn' has no version '7' (there are: 1, 2, 3)"),
        ("churn@chapion", "'churn' has no alias 'chapion' (there are: champion)"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(ref, said):
    with pytest.raises(NotFound) as caught:
        Catalog.of(THREE).find(Ref.parse(ref))
    assert caught.value.message == said


def test_an_alias_moves_and_goes():
    moved = [*THREE, event("aliased", 3, "champion")]
    assert Catalog.of(moved).find(Ref.parse("churn@champion")).version == "3"
    gone = [*moved, event("unaliased", 3, "champion")]
    assert Catalog.of(gone).model("churn").aliases == {}


def test_a_deleted_version_is_a_tombstone():
    catalog = Catalog.of([*THREE, event("deleted", 3)])
    assert catalog.find(Ref.parse("churn")).version == "2"
    assert [version.deleted for version in catalog.model("churn").versions] == [False, False, True]
    assert not catalog.uses("digest-3")
    assert catalog.uses("digest-2")


def test_a_name_without_versions_is_gone_but_remembered():
    catalog = Catalog.of([event("registered", 1), event("deleted", 1)])
    assert catalog.living == {}
    assert catalog.models["churn"].versions[0].deleted
    with pytest.raises(NotFound, match="there are: none"):
        catalog.find(Ref.parse("churn"))


@given(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=20))
def test_names_do_not_meet(names):
    """What is read of one name does not depend on the events of another between them."""
    numbers = dict.fromkeys(names, 0)
    events = []
    for name in names:
        numbers[name] += 1
        events.append(event("registered", numbers[name], name=name))
    whole = Catalog.of(events)
    for name in set(names):
        assert Catalog.of(e for e in events if e.name == name).models[name] == whole.models[name]
