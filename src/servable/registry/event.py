"""Event: one thing that was done to the registry. Events are appended, never changed; all else is read from them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from servable.domain.verdict import Verdict

Kind = Literal["registered", "aliased", "unaliased", "deleted", "tagged", "judged", "noted", "signed"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who did what, when, to which version of which name (0: to the name itself).

    `seq` orders all events of a registry; `time` is in seconds since the epoch. `registered` carries the bundle's
    `digest`; `aliased` and `unaliased` the `alias`, and `aliased` the version it points at from now on. `detail` is
    what the catalog reads besides: of `tagged` the tags (null: taken away), of `judged` the source and whether all
    passed, of `noted` the facts, of `signed` the public key. `body` holds what only readers of the history want: the
    verdicts themselves.
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
    body: list[Any] = []


class Judgement(msgspec.Struct, frozen=True):
    """What one run of checks said about a version. `source` names who ran them: `gate`, `probe`, `canary`."""

    time: float
    who: str
    version: str
    source: str
    passed: bool
    verdicts: tuple[Verdict, ...]
