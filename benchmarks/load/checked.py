"""Closed loop with every answer's numbers judged: slower than wrk, so for warming up and for trust, not for rates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import uvloop

from benchmarks.load.connection import Connection
from benchmarks.load.load import LoadFailed
from benchmarks.traffic import HOST, Traffic


def checked(traffic: Traffic, connections: int, seconds: float) -> int:
    """Ask over many connections at once for some seconds; how many answers came.

    Raises if a single one is wrong: a server that mixes up callers under load is found here.
    """
    return uvloop.run(_checked(traffic, connections, seconds))


async def _checked(traffic: Traffic, connections: int, seconds: float) -> int:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    state = {"answers": 0, "turn": 0, "open": connections}
    end = loop.time() + seconds

    def fail(error: Exception) -> None:
        if not over.done():
            over.set_exception(error)

    def ask(connection: Connection) -> None:
        connection.turn = state["turn"] % len(traffic.requests)
        state["turn"] += 1
        connection.send(traffic.requests[connection.turn])

    def on_answer(connection: Connection, status: int, headers: Mapping[str, str], body: bytes) -> None:
        try:
            traffic.judge(connection.turn, status, headers, body)
        except Exception as error:  # noqa: BLE001 - the wall between the protocol and the caller of checked()
            fail(error)
            return
        state["answers"] += 1
        if loop.time() < end:
            ask(connection)
            return
        state["open"] -= 1
        if state["open"] == 0 and not over.done():
            over.set_result(None)

    def on_lost(connection: Connection, error: Exception | None) -> None:
        del connection
        fail(LoadFailed(f"the server closed a connection after {state['answers']} answers: {error}"))

    opened = []
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(on_answer, on_lost), HOST, traffic.port)
        opened.append(connection)
    try:
        for connection in opened:
            ask(connection)
        await asyncio.wait_for(over, seconds + 60)
        return state["answers"]
    finally:
        for connection in opened:
            connection.on_lost = _ignore
            connection.transport.abort()


def _ignore(connection: Connection, error: Exception | None) -> None:
    del connection, error
