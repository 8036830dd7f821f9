"""Uses: what keeps a version from being deleted: an alias, the Route of a release, whoever falls back to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.registry.catalog import Catalog, Model, Version
from servable.registry.policy import Wanted, wanted
from servable.registry.release import NOTE


class Use(NamedTuple):
    """What a version is to somebody, and what ends that."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def uses(catalog: Catalog, model: Model, gone: Collection[Version], *, whole: bool = False) -> Iterator[Use]:
    """Everything that these versions of a name are needed for. A name that goes as a `whole` takes its own aliases and
    Route along; what others fall back to it for, it cannot.
    """
    numbers = {version.version for version in gone}
    if not whole:
        yield from _aliases(model, numbers)
    for one in wanted(catalog, None):
        own = one.name == model.name
        if own and not whole and NOTE in model.noted:  # without: nobody has decided which version is live
            yield from _route(model.name, one.route, numbers)
        if not (own and whole):
            yield from _others(one, model, numbers)


def _aliases(model: Model, numbers: Collection[str]) -> Iterator[Use]:
    for alias, number in model.aliases.items():
        if number in numbers:
            named = f"{model.name}@{alias}"
            remedy = f"point the alias elsewhere first  (servable models alias {named} VERSION, or --remove)"
            yield Use(f"{model.name}:{number} is {named}", remedy)


def _route(name: str, route: Route, numbers: Collection[str]) -> Iterator[Use]:
    if route.live in numbers:
        yield Use(f"{name}:{route.live} is live", f"promote another first  (servable release promote {name}:VERSION)")
    if route.canary in numbers:
        yield Use(f"{name}:{route.canary} is a canary", f"end it first  (servable release rollback {name})")
    for arm in route.arms:
        if arm in numbers and arm != route.live:
            yield Use(
                f"{name}:{arm} is one that {route.bandit} chooses", f"end that  (servable release rollback {name})"
            )
    for shadow in route.shadows:
        if shadow in numbers:
            remedy = f"end it first  (servable release shadow {name}:{shadow} --remove)"
            yield Use(f"{name}:{shadow} is a shadow", remedy)


def _others(one: Wanted, model: Model, numbers: Collection[str]) -> Iterator[Use]:
    """Of the Route of a name, and of the rules of its versions that stay."""
    if one.route.bandit and _means(one.route.bandit, model, numbers):
        remedy = f"end that first  (servable release rollback {one.name})"
        yield Use(f"{one.route.bandit} chooses among versions of {one.name}", remedy)
    if one.route.fallback and _means(one.route.fallback, model, numbers):
        remedy = f"name another first  (servable release fallback {one.name} --to REF)"
        yield Use(f"{one.route.fallback} is what {one.name} falls back to", remedy)
    for version in one.versions:
        for text in version.fallbacks:
            if not (one.name == model.name and version.version in numbers) and _means(text, model, numbers):
                user = f"{one.name}:{version.version}"
                yield Use(f"a rule of {user} hands rows over to {text}", f"take {user} out of service first")


def _means(text: str, model: Model, numbers: Collection[str]) -> bool:
    """Whether a Ref leads to one of these versions; a bare name does if no other is left."""
    ref = Ref.parse(text)
    if ref.name != model.name:
        return False
    if ref.version is None and ref.alias is None:
        return all(version.version in numbers for version in model.living)
    return (ref.version or model.aliases.get(ref.alias or "")) in numbers
