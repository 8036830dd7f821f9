"""Release: how a name is being released, as its registry notes it: the Route, on which Terms, since when, and why."""

from __future__ import annotations

from typing import Final

import msgspec

from servable.domain.route import Route
from servable.domain.terms import Terms
from servable.registry.catalog import Model

NOTE: Final = "release"
"""The word of the note."""


class Release(msgspec.Struct, frozen=True):
    """`began` is in seconds since the epoch; 0: nobody has laid down anything."""

    route: Route
    terms: Terms = Terms()
    began: float = 0.0
    reason: str = ""


def release_of(model: Model, live: str, champion: str | None) -> Release:
    """The release of a name: the one noted, as far as it still holds; else one with nothing but the live version.

    Another champion ends a canary. A version that was deleted is in no Route.

    >>> from servable.registry.catalog import Version
    >>> versions = tuple(Version("churn", number, "d", 0.0, "ada") for number in "123")
    >>> noted = {"release": {"route": {"live": "1", "canary": "2", "canary_share": 0.05}, "began": 7.0}}
    >>> release_of(Model("churn", versions, {}, noted), "3", None).route.canary
    '2'
    >>> release_of(Model("churn", versions, {"champion": "3"}, noted), "3", "3").route == Route("3")
    True
    """
    noted = model.noted.get(NOTE)
    if noted is None:
        return Release(Route(live))
    release = msgspec.convert(noted, Release)
    route: Route | None = release.route
    for version in sorted(release.route.versions()):
        if route is not None and model.version(version) is None:
            route = route.without(version)
    if route is None:
        return Release(Route(live))
    if champion is not None and champion != route.live:
        route = route.promoted(champion)
    return msgspec.structs.replace(release, route=route)
