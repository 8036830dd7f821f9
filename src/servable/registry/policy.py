"""What the registry wants to be served: which versions of a name are loaded, and which of them is live."""

from __future__ import annotations

from typing import Final

import msgspec

from servable.domain.ref import Ref
from servable.registry.catalog import Catalog, Model, Version

CHAMPION: Final = "champion"
"""The alias that makes a version the live one of its name."""


class Wanted(msgspec.Struct, frozen=True):
    """For one name: all versions that should be loaded, the live one among them, and the aliases of these."""

    name: str
    live: str
    versions: tuple[Version, ...]
    aliases: dict[str, str]


def wanted(catalog: Catalog, ref: Ref | None) -> tuple[Wanted, ...]:
    """What a server of `ref` should load; of None: every name.

    A bare name: the champion is live, or where there is none the newest version; every version with an alias is loaded
    beside it. A Ref with a version or an alias: that version alone. Raises NotFound.
    """
    if ref is None:
        return tuple(_all_of(model) for model in catalog.living.values())
    if ref.version is None and ref.alias is None:
        return (_all_of(catalog.model(ref.name)),)
    return (_only(catalog.model(ref.name), {catalog.find(ref).version}, catalog.find(ref).version),)


def _all_of(model: Model) -> Wanted:
    live = model.aliases.get(CHAMPION, model.living[-1].version)
    return _only(model, {live, *model.aliases.values()}, live)


def _only(model: Model, numbers: set[str], live: str) -> Wanted:
    return Wanted(
        model.name,
        live,
        tuple(version for version in model.living if version.version in numbers),
        {alias: number for alias, number in model.aliases.items() if number in numbers},
    )
