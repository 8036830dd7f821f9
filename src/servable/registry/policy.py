"""What the registry wants to be served, and which versions may become the live one."""

from __future__ import annotations

from typing import Final

import msgspec

from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.errors import CheckFailed
from servable.registry.catalog import Catalog, Model, Version
from servable.registry.release import Release, release_of

CHAMPION: Final = "champion"
"""The alias that makes a version the live one of its name."""


class Wanted(msgspec.Struct, frozen=True):
    """For one name: its Route, all versions that should be loaded, and the aliases of these."""

    name: str
    route: Route
    versions: tuple[Version, ...]
    aliases: dict[str, str]

    @property
    def live(self) -> str:
        """The version that answers, but for what the Route gives to others."""
        return self.route.live


def wanted(catalog: Catalog, ref: Ref | None) -> tuple[Wanted, ...]:
    """What a server of `ref` should load; of None: every name that has a version which may be live.

    A bare name: the champion is live, or where there is none the newest version that the gate does not hold back; every
    version of its release's Route, and every one with an alias, is loaded beside it. A Ref with a version or an alias:
    that version alone, whatever the gate says: whoever names it has decided. Raises NotFound, CheckFailed.
    """
    if ref is None:
        alive = ((model, _live(model)) for model in catalog.living.values())
        return tuple(_all_of(model, _release(model, live).route) for model, live in alive if live is not None)
    if ref.version is None and ref.alias is None:
        model = catalog.model(ref.name)
        return (_all_of(model, released(model).route),)
    version = catalog.find(ref).version
    return (_only(catalog.model(ref.name), {version}, Route(version)),)


def with_fallbacks(catalog: Catalog, served: tuple[Wanted, ...]) -> tuple[Wanted, ...]:
    """The same, and what their Routes and their rules need beside them: what they fall back to, the bandits that
    choose; and so on, as far as it is there.
    """
    found = {one.name: one for one in served}
    unread = list(served)
    while unread:
        one = unread.pop()
        texts = [text for version in one.versions for text in version.fallbacks]
        refs = map(Ref.parse, [*texts, *one.route.others])
        for ref in sorted(
            refs, key=lambda ref: ref.version or ref.alias or ""
        ):  # bare names first: they say what is live
            grown = _grown(catalog, found.get(ref.name), ref)
            if grown is not None and grown != found.get(ref.name):
                found[ref.name] = grown
                unread.append(grown)
    return tuple(found.values())


def _grown(catalog: Catalog, one: Wanted | None, ref: Ref) -> Wanted | None:
    """What is served of a name, with what a Ref means of it; None if there is no such thing."""
    model = catalog.living.get(ref.name)
    if model is None:
        return None
    if ref.version is None and ref.alias is None:
        return one or wanted(catalog, ref)[0]
    number = ref.version or model.aliases.get(ref.alias or "")
    if number is None or model.version(number) is None:
        return one
    if one is None:
        return _only(model, {number}, Route(number))
    return _only(model, {number, *(version.version for version in one.versions)}, one.route)


def released(model: Model) -> Release:
    """How a name is being released. Raises CheckFailed where no version of it may be live."""
    live = _live(model)
    if live is None:
        newest = model.living[-1]
        raise CheckFailed(
            f"no version of {model.name!r} may be live: {held_back(newest, model)}. To serve one all the same, name "
            f"it: {model.name}:{newest.version}"
        )
    return _release(model, live)


def held_back(version: Version, model: Model) -> str:
    """Why a version may not become the champion, in a sentence that says what to do; empty: it may.

    The gate's last word counts. Where it has not been run, nothing may be demanded: neither checks in the manifest nor
    a regression suite of the name. Such a version is held against its golden rows alone, whenever it is loaded.

    >>> old = Version("churn", "1", "d", 0.0, "ada", detail={"checks": ["accuracy>=0.9"]})
    >>> held_back(old, Model("churn", (old,), {}))
    'the gate has not been run on churn:1 (it demands accuracy>=0.9): run  servable check churn:1'
    """
    name = f"{version.name}:{version.version}"
    if version.gate is not None:
        return "" if version.gate.passed else f"{name} did not pass the gate: see  servable models show {name}"
    demands = list(version.checks)
    if cases := model.noted.get("suite", {}).get("cases", 0):
        demands.append(f"a regression suite of {cases} cases")
    if demands:
        return f"the gate has not been run on {name} (it demands {', '.join(demands)}): run  servable check {name}"
    return ""


def _live(model: Model) -> str | None:
    """The version that answers to the bare name; None where the gate holds every one back."""
    champion = model.aliases.get(CHAMPION)
    if champion is not None:
        return champion
    return next((version.version for version in reversed(model.living) if not held_back(version, model)), None)


def _release(model: Model, live: str) -> Release:
    return release_of(model, live, model.aliases.get(CHAMPION))


def _all_of(model: Model, route: Route) -> Wanted:
    numbers = {*route.versions(), *model.aliases.values()}
    if route.fallback is not None:
        fallback = Ref.parse(route.fallback)
        own = fallback.version or model.aliases.get(fallback.alias or "")
        if fallback.name == model.name and own is not None:
            numbers.add(own)
    return _only(model, numbers, route)


def _only(model: Model, numbers: set[str], route: Route) -> Wanted:
    return Wanted(
        model.name,
        route,
        tuple(version for version in model.living if version.version in numbers),
        {alias: number for alias, number in model.aliases.items() if number in numbers},
    )
