"""Repository: what a door may ask of the whole server, behind which stands the supervisor, or a host alone.

The HTTP and the gRPC door call it; `app.py` hands it in. Its words are Triton's: load, unload, statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from servable.engine.plan import State


class Repository(Protocol):
    """Changes take effect in all doors before they return."""

    async def load(self, name: str, parameters: Mapping[str, Any]) -> list[State]:
        """Load a name as it is declared now, anew if it is loaded; gives the states of its versions.

        `parameters` are those of the request. Raises NotFound, Unsupported, or BundleError if it failed: what served
        before then still serves.
        """
        ...

    async def unload(self, name: str) -> list[State]:
        """Let go of a name until it is loaded again. Raises NotFound."""
        ...

    async def follow(self, name: str) -> list[State]:
        """Take up what is declared of a name now, without loading anew what is loaded. Raises as `load`."""
        ...

    async def statistics(self) -> list[Mapping[str, Any]]:
        """What each version has done in each door: `name`, `version`, and all that `Stats.snapshot` gives."""
        ...
