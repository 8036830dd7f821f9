"""Whom a version is needed by: a table of catalogs."""

from __future__ import annotations

from typing import Any

import pytest

from servable.registry.catalog import Catalog
from servable.registry.event import Event
from servable.registry.uses import uses


def registered(name: str, number: int, **detail: Any) -> Event:
    return Event(0, 0.0, "ada", "registered", name, number, digest=f"{name}-{number}", detail=detail)


def released(name: str, **route: Any) -> Event:
    return Event(0, 0.0, "ada", "noted", name, 0, detail={"what": "release", "facts": {"route": route, "began": 1.0}})


def aliased(name: str, number: int, alias: str) -> Event:
    return Event(0, 0.0, "ada", "aliased", name, number, alias)


VERSIONS = [registered(name, number) for name in ("churn", "plain") for number in (1, 2, 3)]
CANARY = {"live": "1", "canary": "2", "canary_share": 0.05}


@pytest.mark.parametrize(
    ("more", "gone", "said"),
    [
        ([], "churn:3", []),  # live, and by nobody's decision
        ([aliased("churn", 1, "best")], "churn:1", ["churn:1 is churn@best: point the alias elsewhere first"]),
        ([aliased("churn", 1, "best")], "churn:2", []),
        ([released("churn", **CANARY)], "churn:1", ["churn:1 is live: promote another first"]),
        ([released("churn", **CANARY)], "churn:2", ["churn:2 is a canary: end it first  (servable release rollback"]),
        ([released("churn", **CANARY)], "churn:3", []),
        ([released("churn", live="1", shadows=["3"])], "churn:3", ["churn:3 is a shadow: end it first"]),
        ([released("churn", live="1", fallback="churn:2")], "churn:2", ["churn:2 is what churn falls back to"]),
        ([released("churn", live="1", fallback="plain:2")], "plain:2", ["plain:2 is what churn falls back to"]),
        ([released("churn", live="1", fallback="plain:2")], "plain:3", []),
        ([released("churn", live="1", fallback="plain:2")], "plain", ["plain:2 is what churn falls back to"]),
        ([released("churn", live="1", fallback="plain")], "plain:3", []),  # others of it are left
        ([released("churn", live="1", fallback="plain")], "plain", ["plain is what churn falls back to"]),
        ([released("churn", **CANARY)], "churn", []),  # a name takes its own Route along
        ([registered("churn", 4, fallbacks=["plain:1"])], "plain:1", ["a rule of churn:4 hands rows over to plain:1"]),
        ([registered("churn", 4, fallbacks=["churn:1"])], "churn:1", ["a rule of churn:4 hands rows over to churn:1"]),
        ([registered("churn", 4, fallbacks=["churn:1"])], "churn", []),
        ([registered("churn", 4, fallbacks=["plain:1"]), registered("churn", 5)], "plain:1", []),  # 4 serves nobody
    ],
)
def test_who_needs_a_version(more, gone, said):
    catalog = Catalog.of([*VERSIONS, *more])
    name, _, number = gone.partition(":")
    model = catalog.model(name)
    gone_versions = [one for one in model.living if number in {"", one.version}]
    found = list(uses(catalog, model, gone_versions, whole=not number))
    assert len(found) == len(said)
    for use, start in zip(found, said, strict=True):
        assert str(use).startswith(start)
