"""News: which names are declared otherwise than when it was last asked. A running server asks every second."""

from __future__ import annotations

from typing import Any, Final

from servable.registry.catalog import Catalog
from servable.registry.registry import Registry
from servable.registry.release import NOTE

NOTHING: Final[tuple[dict[str, str], None]] = ({}, None)
"""What a name without aliases and without a release declares."""


class News:
    """Of one registry: releases, and aliases that moved. A version that is only registered is no news: nobody asked for
    it yet.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, Any] | None = None

    def names(self) -> set[str]:
        """Those that changed since the last call. At the first call all that are being released: what changed between
        the server's start and now is among them.
        """
        now = _declared(self._registry.catalog())
        before, self._known = self._known, now
        if before is None:
            return {name for name, (_, release) in now.items() if release is not None}
        return {name for name, facts in now.items() if facts != before.get(name, NOTHING)}


def _declared(catalog: Catalog) -> dict[str, Any]:
    return {name: (model.aliases, model.noted.get(NOTE)) for name, model in catalog.models.items()}
