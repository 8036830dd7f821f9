"""News: which names are declared otherwise than when it was last asked. A running server asks every second."""

from __future__ import annotations

from typing import Any, Final

from servable.errors import ServableError
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
        """Made before the server reads what it shall serve: whatever changes after that is news."""
        self._registry = registry
        self._asked = False
        try:
            self._known = _declared(registry.catalog())
        except ServableError:  # a server of files alone starts without a registry, and looks for it again
            self._known = {}

    def names(self) -> set[str]:
        """Those that changed since the last call; at the first call also all that are being released."""
        now = _declared(self._registry.catalog())
        before, self._known = self._known, now
        changed = {name for name, facts in now.items() if facts != before.get(name, NOTHING)}
        if not self._asked:
            self._asked = True
            changed |= {name for name, (_, release) in now.items() if release is not None}
        return changed


def _declared(catalog: Catalog) -> dict[str, Any]:
    return {name: (model.aliases, model.noted.get(NOTE)) for name, model in catalog.models.items()}
