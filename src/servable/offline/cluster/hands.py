"""What the hands of every cluster hold: the order, how many parts at once, where the cluster is, and what to let go."""

from __future__ import annotations

import contextlib

from servable.offline.order import Order


class ClusterHands:
    """Entering fills `_held` with what is given back in the end."""

    def __init__(self, order: Order, workers: int | None, address: str) -> None:
        """`workers`: parts under way at once; None: one a core of the cluster. `address`: where it is; empty: as its
        own configuration says.
        """
        self._order = order
        self._workers = workers
        self._address = address
        self._held = contextlib.ExitStack()

    def __exit__(self, *_: object) -> None:
        self._held.close()
