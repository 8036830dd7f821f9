"""Route: for a name, which version answers. Choosing is a pure function of the request's id."""

from __future__ import annotations

import zlib

import msgspec


class Route(msgspec.Struct, frozen=True, omit_defaults=True):
    """The live version, a canary with its share of requests, shadows that get a copy, a fallback.

    The choice is sticky: one id always meets the same version while the Route stands.

    >>> route = Route(live="1", canary="2", canary_share=0.25)
    >>> sum(route.choose(str(n)) == "2" for n in range(10_000))
    2494
    >>> Route(live="1").choose("anything")
    '1'
    """

    live: str
    canary: str | None = None
    canary_share: float = 0.0
    shadows: tuple[str, ...] = ()
    fallback: str | None = None

    def choose(self, request_id: str) -> str:
        """The version that answers the request with this id."""
        if self.canary is None or self.canary_share <= 0.0:
            return self.live
        share = zlib.crc32(request_id.encode()) / 2**32
        return self.canary if share < self.canary_share else self.live
