"""gRPC `ModelInfer`: against MLServer's gRPC, and against grpc.aio that only echoes."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import sleep

import grpc

from benchmarks import ours
from benchmarks.bench import Bench, rate_of
from benchmarks.case import trees_case
from benchmarks.figure import Figure, thousands
from benchmarks.figures.peers import Missing, running
from benchmarks.grpc_call import METHOD, await_calls, message
from benchmarks.load.h2load import Calls, closed_loop
from benchmarks.load.load import Load
from benchmarks.machine import LOAD_CORE
from benchmarks.peers import mlserver
from benchmarks.process import free_port, started
from benchmarks.traffic import HOST

CONNECTIONS, STREAMS = 8, 8
WARM_UP_S = 1.0


def grpc_peer(bench: Bench) -> list[Figure]:
    """MLServer, from the same environment and with the same runtime as over HTTP."""
    name = "gRPC ModelInfer, requests/s against MLServer"
    case = trees_case()
    body = message(case, 0, mlserver.PEER.model).SerializeToString()
    try:
        with running(mlserver.PEER, case) as theirs, ours.serve(case) as mine:
            my_size = await_calls(mine.process, case, mine.grpc_port, mine.model)
            their_size = await_calls(theirs.process, case, theirs.place.grpc_port, mlserver.PEER.model)
            my_body = message(case, 0, mine.model).SerializeToString()
            pairs = bench.turns(
                _calls(bench, mine.grpc_port, my_body, my_size), _calls(bench, theirs.place.grpc_port, body, their_size)
            )
    except Missing as problem:
        return [Figure(name, at_least=3.0, missing=str(problem))]
    return [_figure(name, pairs, 3.0)]


def grpc_echo(bench: Bench) -> list[Figure]:
    """The echo runs on asyncio's own loop, as grpc.aio's documentation has it; and on uvloop, for information."""
    return [
        _against_echo(bench, "gRPC ModelInfer, requests/s against a bare grpc.aio echo", 1.0, ()),
        _against_echo(bench, "gRPC ModelInfer, requests/s against a bare grpc.aio echo on uvloop", None, ("uvloop",)),
    ]


def _against_echo(bench: Bench, name: str, at_least: float | None, words: tuple[str, ...]) -> Figure:
    case, port = trees_case(), free_port()
    command = [sys.executable, "-m", "benchmarks.peers.apps.grpc_echo", str(port), *words]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="servable-bench-")))
        stack.enter_context(started(command, ours.on_path(ours.HERE.parent), folder / "log", folder))
        mine = stack.enter_context(ours.serve(case))
        size = await_calls(mine.process, case, mine.grpc_port, mine.model)
        body = message(case, 0, mine.model).SerializeToString()
        _await_port(port)
        pairs = bench.turns(_calls(bench, mine.grpc_port, body, size), _calls(bench, port, body, len(body)))
    return _figure(name, pairs, at_least)


def _calls(bench: Bench, port: int, body: bytes, answer_bytes: int) -> Callable[[], Load]:
    """Warm up now; what is returned is one timed run."""

    def load(seconds: float) -> Load:
        return closed_loop(Calls(port, METHOD, body, answer_bytes, CONNECTIONS, STREAMS), seconds, LOAD_CORE)

    load(WARM_UP_S)
    return lambda: load(bench.seconds)


def _await_port(port: int) -> None:
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
    sleep(0.1)


def _figure(name: str, pairs: list[tuple[Load, ...]], at_least: float | None) -> Figure:
    mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Figure(
        name,
        tuple(a.rate / b.rate for a, b in zip(mine, theirs, strict=True)),
        at_least=at_least,
        absolute=f"{thousands(rate_of(mine))} to {thousands(rate_of(theirs))}",
    )
