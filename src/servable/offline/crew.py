"""Crew: the workers of this machine, and which part each of them does.

One thread a worker hands out orders and waits for reports; it computes nothing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Self

from servable.errors import ServableError
from servable.offline.early import Early
from servable.offline.hand import Hand
from servable.offline.order import Order, Part, Scored


class Crew:
    """`with Crew(order, 4) as crew: for scored in crew.run(parts): …`."""

    def __init__(self, order: Order, workers: int, early: Early | None = None) -> None:
        self._order = order
        self._early = early
        self._workers = workers
        self._waiting: queue.SimpleQueue[Part | None] = queue.SimpleQueue()
        self._reports: queue.SimpleQueue[Scored | ServableError] = queue.SimpleQueue()
        self._hands: list[Hand] = []
        self._threads: list[threading.Thread] = []
        self._over = False

    def run(self, parts: Sequence[Part]) -> Iterator[Scored]:
        """Have all parts done; each report as it comes. Raises what a worker could not do."""
        for part in parts:
            self._waiting.put(part)
        for _ in range(min(self._workers, len(parts))):
            self._waiting.put(None)
            hand = Hand(self._order, self._early)
            thread = threading.Thread(target=self._keep, args=(hand,), name="servable-crew", daemon=True)
            self._hands.append(hand)
            self._threads.append(thread)
            thread.start()
        for _ in parts:
            report = self._reports.get()
            if isinstance(report, ServableError):
                raise report
            yield report

    def _keep(self, hand: Hand) -> None:
        """Give a hand one part after another, until none waits."""
        try:
            with hand:
                while (part := self._waiting.get()) is not None and not self._over:
                    self._reports.put(hand.do(part))
        except ServableError as error:
            self._reports.put(error)
        except Exception as error:  # noqa: BLE001 - the wall: whoever waits for reports must hear of it
            self._reports.put(ServableError(f"a worker could not be kept: {type(error).__name__}: {error}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for hand in self._hands:
            hand.stop()
        for thread in self._threads:
            thread.join()
