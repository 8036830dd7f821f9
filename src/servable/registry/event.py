"""Event: one thing that was done to the registry. Events are appended, never changed; all else is read from them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Kind = Literal["registered", "aliased", "unaliased", "deleted"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who did what, when, to which version of which name.

    `seq` orders all events of a registry; `time` is in seconds since the epoch. `registered` carries the bundle's
    `digest`; `aliased` and `unaliased` the `alias`, and `aliased` the version it points at from now on. `detail` holds
    facts for people and later readers (the bundle's format, say): nothing is decided by it.
    """

    seq: int
    time: float
    who: str
    kind: Kind
    name: str
    version: int
    alias: str = ""
    digest: str = ""
    detail: dict[str, Any] = {}
