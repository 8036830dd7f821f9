"""A host of versions that tell which they are, and the parts to ask it with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.field import Field
from servable.domain.route import Route
from servable.domain.signature import Signature
from servable.engine.host import Host
from servable.engine.loading import Loaded
from servable.engine.plan import Plan, Target
from servable.engine.policy import CostCurve
from servable.engine.request import Request
from servable.engine.router import Router
from servable.engine.routing.answered import Answered

SIGNATURE = Signature((Field("x", "FP32"),), (Field("y", "FP32"),))
OTHER = Signature((Field("z", "FP32"),), (Field("y", "FP32"),))


class Adder:
    """y = x + version. By its source: `broken` fails, `broken:N` for x >= N, `slow:S` takes so many seconds."""

    def __init__(self, version: str, source: str) -> None:
        self.version = np.float32(version)
        self.kind, _, rest = source.partition(":")
        self.number = float(rest or 0)

    def predict(self, batch: Batch) -> Batch:
        x = batch["x"]
        if self.kind == "broken" and (x >= self.number).any():
            raise ValueError("broken")
        if self.kind == "slow":
            time.sleep(self.number)
        return Batch({"y": x + self.version})

    def close(self) -> None:
        pass


def load(target: Target) -> Loaded:
    signature = OTHER if target.source == "other" else SIGNATURE
    manifest = Manifest(target.name, "fake", "m", "fake", signature, ())
    seconds = 0.01 if target.source.startswith("slow") else 1e-6
    bundle = Bundle(Path("/none"), manifest, "0")
    return Loaded(bundle, Adder(target.version, target.source), CostCurve([(1, seconds)]))


def plan(route: Route, **sources: str) -> Plan:
    """`v1="good"` is version 1 of m; `other="good"` version 1 of another name."""
    targets, routes = [], {"m": route}
    for word, source in sources.items():
        if word[0] == "v":
            targets.append(Target("m", word[1:], source))
        else:
            targets.append(Target(word, "7", source))
            routes[word] = Route("7")
    return Plan(tuple(targets), routes)


def served(
    wanted: Plan,
    story: Callable[[Host, Router], Awaitable[None]],
    keep: Callable[[Answered], None] | None = None,
    load: Callable[[Target], Loaded] = load,
) -> None:
    async def tell() -> None:
        host = Host(load, keep=keep)
        await host.converge(wanted)
        assert host.failures() == ()
        async with asyncio.timeout(20):
            await story(host, Router(host))
        await host.drain(5)

    asyncio.run(tell())


async def ask(router: Router, id: str = "q", x: float = 0.0, unit: str = "", **more: Any) -> Request:
    """The request, over."""
    future: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
    deadline = monotonic() + more.get("within_s", 10.0)
    batch = Batch({"x": np.full(more.get("rows", 1), x, np.float32)})
    router.pick("m", more.get("version"), id, unit).submit(Request(id, batch, future.set_result, deadline))
    return await future


def told(request: Request) -> tuple[float, str]:
    """The first value of the answer, and who gave it in the place of another."""
    answer = request.result()
    return float(answer["y"][0]), (answer.parameters or {}).get("fallback", "")
