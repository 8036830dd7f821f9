"""Garbage: what the collector is told by a process that has loaded what it serves. For doors and learners."""

from __future__ import annotations

import gc


def settle() -> None:
    """What is loaded now stays; the rest is looked at less often.

    Neither a request nor an example makes cycles, so their memory comes back without the collector. By default it took
    an eighth of a busy door's time, and half of what writing down a forest takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
