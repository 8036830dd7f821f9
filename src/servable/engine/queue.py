"""Queue: the requests that wait for one version, by priority and then by arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from servable.engine.request import Request
from servable.engine.stats import Stats


class Queue:
    """Urgent before ordinary, first come first served within a priority. Requests whose callers are gone leave at once,
    and are counted.
    """

    __slots__ = ("_levels", "_ordinary", "_stats", "requests", "rows")

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._ordinary: deque[Request] = deque()
        self._levels: dict[int, deque[Request]] = {}
        self.requests = 0
        self.rows = 0

    def put(self, request: Request) -> None:
        if request.priority == 0:
            self._ordinary.append(request)
        else:
            level = self._levels.get(request.priority)
            if level is None:
                level = self._levels[request.priority] = deque()
                self._levels = dict(sorted(self._levels.items()))
            level.append(request)
        request.waits_in = self
        self.requests += 1
        self.rows += request.rows

    def put_apart(self, requests: list[Request]) -> None:
        """Put back the requests of a batch that failed, before all others, each to be taken alone."""
        for request in reversed(requests):
            request.alone = True
            self._ordinary.appendleft(request)
            request.waits_in = self
            self.requests += 1
            self.rows += request.rows

    def take(self, cap: int, *, uniform: bool) -> list[Request]:
        """The next batch: requests in order while they fit `cap` rows; at least one. Empty: nobody waits.

        Unless all requests are `uniform` by the signature, only those with the first one's key (shapes, dtypes,
        parameters) go with it; the rest keep their places.
        """
        level = next(filter(None, self._by_urgency()), None)
        if level is None:
            return []
        first = level.popleft()
        self._forget(first)
        batch = [first]
        if first.alone:
            return batch
        rows = first.rows
        key = None if uniform and first.batch.parameters is None else first.batch.key()
        for level in self._by_urgency():
            skipped: list[Request] = []
            while level and rows < cap:
                request = level[0]
                if rows + request.rows > cap or request.alone:
                    break
                level.popleft()
                if request.batch.parameters is None if key is None else request.batch.key() == key:
                    self._forget(request)
                    batch.append(request)
                    rows += request.rows
                else:
                    skipped.append(request)
            level.extendleft(reversed(skipped))
            if rows >= cap:
                break
        return batch

    def expired(self, now: float) -> list[Request]:
        """Take out every request whose deadline has passed."""
        late: list[Request] = []
        for level in self._by_urgency():
            waiting = list(level)
            level.clear()
            for request in waiting:
                if request.deadline > now:
                    level.append(request)
                else:
                    self._forget(request)
                    late.append(request)
        return late

    def clear(self) -> list[Request]:
        """Take out all."""
        return self.expired(float("inf"))

    def leave(self, request: Request) -> None:
        """A request's caller is gone: it gives up its place."""
        level = self._ordinary if request.priority == 0 or request.alone else self._levels[request.priority]
        level.remove(request)
        self._forget(request)
        self._stats.cancelled += 1
        self._stats.pending -= 1

    def _by_urgency(self) -> Iterator[deque[Request]]:
        yield from self._levels.values()
        yield self._ordinary

    def _forget(self, request: Request) -> None:
        request.waits_in = None
        self.requests -= 1
        self.rows -= request.rows
