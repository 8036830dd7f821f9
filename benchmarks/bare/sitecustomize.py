"""Takes the signature check, the check of answers and the counters out of a server: the "without" of `all_on`.

This folder on PYTHONPATH makes Python import this file at its start. The product has no such switch, and wants none.
"""

from __future__ import annotations

from typing import Any

from servable.domain.signature import Signature
from servable.engine.lane import Lane
from servable.engine.stats import Stats


def _no_faults(*_: Any, **__: Any) -> list[Any]:
    return []


def _nothing(*_: Any, **__: Any) -> None:
    pass


for owner, name, instead in (
    (Signature, "check", _no_faults),
    (Signature, "check_outputs", _no_faults),
    (Lane, "_misshapen", _no_faults),
    (Stats, "executed", _nothing),
    (Stats, "answered", _nothing),
    (Stats, "answered_together", _nothing),
):
    if not hasattr(owner, name):
        raise AttributeError(f"{owner.__name__}.{name} is gone: tell benchmarks/bare what took its place")
    setattr(owner, name, instead)
