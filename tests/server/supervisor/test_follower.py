"""The follower: it hears of what is declared anew, and outlives whoever declares it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from servable.domain.route import Route
from servable.engine.plan import Plan, Target
from servable.errors import BundleError, EnvironmentFault
from servable.server.supervisor import follower
from servable.server.supervisor.follower import Follower
from servable.server.supervisor.rollout import Rollout


class Registry:
    """Where names are declared; says what each call of `news` meets."""

    def __init__(self, *told: set[str] | Exception) -> None:
        self.told = list(told)
        self.undone: list[tuple[str, Route, str]] = []
        self.emptied = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def news(self) -> set[str]:
        if not self.told:
            self.loop.call_soon_threadsafe(self.emptied.set)
            return set()
        now = self.told.pop(0)
        if isinstance(now, Exception):
            raise now
        return now

    def undo(self, name: str, route: Route, reason: str) -> None:
        self.undone.append((name, route, reason))


async def followed(declared: Registry, rollout: Rollout) -> None:
    keeping = asyncio.create_task(Follower(rollout, declared).keep_on(declared))
    async with asyncio.timeout(20):
        await declared.emptied.wait()
    keeping.cancel()


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(follower, "LOOK_S", 0.0)


async def test_it_outlives_a_registry_that_cannot_be_read_and_says_so_once(caplog):
    declared = Registry(
        EnvironmentFault("gone"), EnvironmentFault("gone"), EnvironmentFault("gone"), {"m"}, EnvironmentFault("gone")
    )
    plans = [Plan((Target("m", "1", "a"),), {"m": Route("1")})]
    rollout = Rollout(lambda: plans[0])
    await rollout.begin()
    plans[0] = Plan((Target("m", "1", "a"), Target("m", "2", "b")), {"m": Route("1", "2", 0.1)})
    with caplog.at_level(logging.WARNING):
        await followed(declared, rollout)
    assert rollout.plan.routes == {"m": Route("1", "2", 0.1)}
    assert [target.generation for target in rollout.plan.targets] == [1, 2]  # what was loaded is not loaded anew
    assert [record.message for record in caplog.records].count(
        "what is declared cannot be read: gone; looking every second"
    ) == 2


async def test_what_cannot_be_taken_up_is_undone_where_it_was_declared(monkeypatch):
    rollout = Rollout(lambda: Plan((Target("m", "1", "a"),), {"m": Route("1")}))
    await rollout.begin()

    async def refuse(_: set[str]) -> None:
        raise BundleError("it does not load")

    monkeypatch.setattr(rollout, "follow", refuse)
    declared = Registry({"m"})
    await followed(declared, rollout)
    assert declared.undone == [("m", Route("1"), "it does not load")]
