"""What the registry costs: an alias in a door, lists of ten thousand versions, a registration."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import Figure
from servable.domain.route import Route
from servable.engine.host import Host
from servable.engine.lane import Limits
from servable.engine.loading import load
from servable.engine.plan import Plan, Target
from servable.engine.router import Router
from servable.registry.event import Event
from servable.registry.registry import Registry
from servable.registry.told import model_told
from tests.packed import bundle_at

VERSIONS: Final = 10_000
CALLS: Final = 100_000


def alias(folder: Path) -> Figure:
    """A version by its alias, as every request for one asks: the door's own table, no disk and no registry."""
    bundle = bundle_at(folder / "bundle")

    async def measured() -> list[float]:
        host = Host(load, Limits(0.0005, 1024, 1 << 20))
        targets = tuple(Target("scaler", str(number), str(bundle)) for number in (1, 2))
        await host.converge(Plan(targets, {"scaler": Route("1")}, {"scaler": {"champion": "2"}}))
        router = Router(host)
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(CALLS):
                router.pick("scaler", "champion")
            seconds.append((time.perf_counter() - start) / CALLS)
        await host.drain(10.0)
        return seconds

    seen = asyncio.run(measured())
    return Figure("resolve an alias in a door", tuple(second * 1e3 for second in seen), "ms", at_most=0.050)


def history(folder: Path) -> Path:
    """A home with one name of very many versions."""
    registry = Registry(folder / "home")
    detail = {"format": "onnx", "libraries": {"scikit-learn": "1.9.1"}, "checks": ["accuracy>=0.9"]}
    registry._journal.append(
        [
            Event(0, float(number), "ada", "registered", "churn", number, digest=f"{number:064x}", detail=detail)
            for number in range(1, VERSIONS + 1)
        ]
    )
    return registry.home


def lists(home: Path) -> list[Figure]:
    """All that is told of every version: by a process that has read nothing yet, and by one that has."""
    known = Registry(home)
    known.catalog()
    named = f"list {VERSIONS:,} versions"
    return [
        Figure(f"{named}, read for the first time", _ms(lambda: _listed(Registry(home))), "ms", at_most=200),
        Figure(f"{named}, read before", _ms(lambda: _listed(known)), "ms", at_most=200),
        Figure(f"the catalog of {VERSIONS:,} versions, read before", _ms(known.catalog), "ms"),
    ]


def registration(folder: Path) -> Figure:
    """A small bundle, from the call to the disk: each a version of its own."""
    registry = Registry(folder / "fresh")
    bundles = [bundle_at(folder / f"b{number}", factor=number) for number in range(7)]
    seen = []
    for bundle in bundles:
        start = time.perf_counter()
        registry.register(bundle)
        seen.append((time.perf_counter() - start) * 1e3)
    return Figure("register a small bundle", tuple(seen[1:]), "ms")


def _listed(registry: Registry) -> None:
    model_told(registry.catalog().model("churn"))


def _ms(work: Callable[[], object]) -> tuple[float, ...]:
    seen = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        seen.append((time.perf_counter() - start) * 1e3)
    return tuple(seen)


def registry(bench: Bench) -> list[Figure]:  # noqa: ARG001 - each figure says how often it is taken
    """An alias in a door, lists of many versions, a registration."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as made:
        folder = Path(made)
        return [alias(folder), *lists(history(folder)), registration(folder)]
