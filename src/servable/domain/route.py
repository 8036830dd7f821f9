"""Route: for a name, which version answers. Choosing is a pure function of what the request is known by."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

_GOLDEN: Final = 2654435769
"""2³² over the golden ratio: multiplied with it, numbers that are alike lie far apart."""


class Route(msgspec.Struct, frozen=True, omit_defaults=True):
    """The live version, a canary with its share of requests, shadows that get a copy, and what answers when the one
    that was chosen cannot: a version of this name or another model (`fallback`, a Ref), or a value for each output.

    With a `bandit` (a Ref to a model of its own) that one chooses among the `arms` for each row, by its inputs; where
    it cannot, and for whoever asks here, it is the live version.

    The choice is sticky: one unit (a request's id, or what the caller calls itself) always meets the same version while
    the canary stands, and stays in it while its share grows. `salt` makes the draw: another one draws others.

    >>> route = Route(live="1", canary="2", canary_share=0.25)
    >>> sum(route.choose(str(n)) == "2" for n in range(10_000))
    2507
    >>> Route(live="1").choose("anything")
    '1'
    """

    live: str
    canary: str | None = None
    canary_share: float = 0.0
    shadows: tuple[str, ...] = ()
    fallback: str | None = None
    fallback_value: dict[str, Any] = {}
    salt: str = ""
    outcomes: bool = False
    """Whether answers are kept until their outcomes come."""
    bandit: str | None = None
    arms: tuple[str, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """The Refs of what must be served beside it."""
        return tuple(ref for ref in (self.fallback, self.bandit) if ref is not None)

    @property
    def tried(self) -> tuple[str, ...]:
        """The versions that answer some requests beside the live one: a canary, or what a bandit chooses among."""
        return tuple(one for one in (self.canary, *self.arms) if one is not None and one != self.live)

    @property
    def plain(self) -> bool:
        """Whether there is nothing but the live version."""
        return self == Route(self.live)

    def choose(self, unit: str) -> str:
        """The version that answers this unit."""
        return self.chooser()(unit)

    def chooser(self) -> Callable[[str], str]:
        """`choose`, for whoever asks often."""
        live, canary = self.live, self.canary
        if canary is None or self.canary_share <= 0.0:
            return lambda _: live
        seed, below = zlib.crc32(self.salt.encode()), self.canary_share * 2**32

        def choose(unit: str) -> str:
            # The checksum alone would draw the same groups under every salt: it is linear.
            return canary if zlib.crc32(unit.encode(), seed) * _GOLDEN & 0xFFFFFFFF < below else live

        return choose

    def versions(self) -> set[str]:
        """Every version of this name that it needs, but for the fallback, which may be another name's."""
        return {self.live, *self.shadows, *self.arms} | ({self.canary} if self.canary else set())

    def promoted(self, version: str) -> Route:
        """After this version has become the live one: a trial is over, a shadow of it pointless."""
        return Route(version, shadows=self._others(version), fallback=self.fallback, fallback_value=self.fallback_value)

    def ended(self) -> Route:
        """After the canary is over, or the bandit's choice."""
        return msgspec.structs.replace(
            self, canary=None, canary_share=0.0, salt="", outcomes=False, bandit=None, arms=()
        )

    def without(self, version: str) -> Route | None:
        """After this version is gone; None if it was the live one."""
        if version == self.live:
            return None
        shadows = self._others(version)
        if version in {self.canary, *self.arms}:
            return msgspec.structs.replace(self.ended(), shadows=shadows)
        return msgspec.structs.replace(self, shadows=shadows)

    def _others(self, version: str) -> tuple[str, ...]:
        return tuple(shadow for shadow in self.shadows if shadow != version)
