"""Open loop over HTTP: requests leave by a Poisson clock whether or not answers come, as independent users do.

Latency counts from the moment a request was due, so a server that stalls is charged for everyone who waited
("coordinated omission": a closed loop would simply not have asked). The clock is seeded: two servers see the same
arrivals.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import Mapping
from time import perf_counter

import uvloop
from hdrh.histogram import HdrHistogram

from benchmarks.load.connection import Connection
from benchmarks.load.load import Load, LoadFailed
from benchmarks.traffic import HOST, OK, Traffic

EVERY = 100
"""Of so many answers one has its numbers judged."""
LOWEST_US, HIGHEST_US, DIGITS = 1, 60_000_000, 3


def open_loop(traffic: Traffic, rate: float, connections: int, seconds: float, core: int, seed: int = 0) -> Load:
    """Send `rate` requests a second for some seconds over `connections`, from `core`.

    Every answer is judged by its status, some by their numbers. `busy` is told as 1: it never sleeps.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return uvloop.run(_Run(traffic, rate, seconds, seed).run(connections))
    finally:
        os.sched_setaffinity(0, before)


class _Run:
    def __init__(self, traffic: Traffic, rate: float, seconds: float, seed: int) -> None:
        self.traffic = traffic
        self.rate = rate
        self.random = random.Random(seed)
        self.seconds = seconds
        self.idle: deque[Connection] = deque()
        self.waiting: deque[float] = deque()
        self.histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        self.sent = self.answered = 0

    async def run(self, connections: int) -> Load:
        self.loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self.loop.create_future()
        for _ in range(connections):
            port = self.traffic.port
            _, one = await self.loop.create_connection(lambda: Connection(self.answer, self.lost), HOST, port)
            self.idle.append(one)
        opened = list(self.idle)
        self.start = self.due = perf_counter()
        self.tick()
        try:
            await asyncio.wait_for(self.over, self.seconds + 60)
        finally:
            for one in opened:
                one.on_lost = lambda *_: None
                one.transport.abort()
        p50, p99, p999, highest = (self.histogram.get_value_at_percentile(p) / 1e3 for p in (50, 99, 99.9, 100))
        rate = self.answered / (perf_counter() - self.start)
        return Load(rate, p50, p99, p999, highest, self.answered, busy=1.0)

    def tick(self) -> None:
        """Send what is due. Runs at every turn of the loop: a timer would be a millisecond late."""
        now = perf_counter()
        while self.due <= now and self.due - self.start < self.seconds:
            self.waiting.append(self.due)
            self.due += self.random.expovariate(self.rate)
        while self.waiting and self.idle:
            self.send(self.idle.popleft(), self.waiting.popleft())
        if self.over.done():
            return
        if self.due - self.start >= self.seconds and self.sent == self.answered and not self.waiting:
            self.over.set_result(None)
        else:
            self.loop.call_soon(self.tick)

    def send(self, connection: Connection, due_s: float) -> None:
        connection.turn = self.sent % len(self.traffic.requests)
        connection.sent_s = due_s
        self.sent += 1
        connection.send(self.traffic.requests[connection.turn])

    def answer(self, connection: Connection, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.histogram.record_value(max(1, round((perf_counter() - connection.sent_s) * 1e6)))
        self.answered += 1
        self.idle.append(connection)
        if status != OK or self.answered % EVERY == 0:
            try:
                self.traffic.judge(connection.turn, status, headers, body)
            except Exception as error:  # noqa: BLE001 - the wall between the protocol and the caller of open_loop()
                self.fail(error)

    def lost(self, connection: Connection, error: Exception | None) -> None:
        del connection
        self.fail(LoadFailed(f"the server closed a connection after {self.answered} answers: {error}"))

    def fail(self, error: Exception) -> None:
        if not self.over.done():
            self.over.set_exception(error)
