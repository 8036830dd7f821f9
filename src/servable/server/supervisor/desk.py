"""Desk: answers what a door wants of the whole server: a change of the plan, all doors' numbers, facts about them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from servable.domain.problem import Problem
from servable.engine.plan import State
from servable.errors import ServableError, Unavailable, UsageError
from servable.server.control import Answer, Ask, ChannelClosed, Reply, Want
from servable.server.supervisor.child import Child
from servable.server.supervisor.follower import Follower
from servable.server.supervisor.processes import Processes
from servable.server.supervisor.rollout import Rollout
from servable.server.supervisor.tally import Tally

logger = logging.getLogger("servable.supervisor")

STATS_TIMEOUT_S: Final = 0.3
"""A door that does not tell its numbers by then is counted as it last told: a scrape must not hang on a sick one."""


class Door(msgspec.Struct, frozen=True):
    """Facts about one slot: its process now (None while it is being replaced), and how many were replaced before."""

    slot: int
    pid: int | None
    ready: bool
    replaced: int


class Desk:
    """`doors` gives those alive; `replaced` counts dead ones by slot."""

    def __init__(
        self,
        rollout: Rollout,
        doors: Callable[[], Sequence[Child]],
        replaced: Mapping[int, int],
        processes: Processes | None = None,
        follower: Follower | None = None,
    ) -> None:
        self._follower = follower or Follower(rollout)
        self._processes = processes
        self._rollout = rollout
        self._doors = doors
        self._replaced = replaced
        self._tally = Tally()

    async def reply(self, want: Want) -> Reply:
        """What became of it. Never raises, but for cancellation."""
        try:
            return Reply(want.id, await self._do(want))
        except ServableError as error:
            return Reply(want.id, error=Problem.of(error))
        except asyncio.CancelledError:
            # The server is about to end, and so is this task; the caller still gets a word.
            return Reply(want.id, error=Problem.of(Unavailable("the server is shutting down")))
        except Exception:  # the wall: one caller's wish, however it fails, is no reason to stop serving all others
            logger.exception("%s: an error of the server itself", want.action)
            problem = Problem.of(ServableError(f"{want.action} failed in the server itself: its log says where"))
            return Reply(want.id, error=problem)

    async def _do(self, want: Want) -> Any:
        match want.action:
            case "load" | "unload" | "follow" if want.model:
                return await self._change(want.action, want.model, want.parameters)
            case "reload":
                return await self._rollout.reload()
            case "stats":
                doors = self._doors()
                told = await asyncio.gather(*(self._stats(door) for door in doors))
                return self._tally.complete(
                    (stats for stats in told if stats is not None), {door.pid for door in doors}
                )
            case "doors":
                return self._facts()
            case "process" if self._processes is not None:
                return await self._processes.obtain(want.parameters)
            case "stuck" if self._processes is not None:
                return self._processes.stuck(want.parameters)
            case "processes" if self._processes is not None:
                return self._processes.facts()
        raise UsageError(f"{want.action} needs the name of a model")

    async def _change(self, action: str, model: str, parameters: Mapping[str, Any]) -> list[State]:
        if action == "load":
            return await self._rollout.load(model, parameters)
        return await (self._rollout.unload if action == "unload" else self._follower.follow)(model)

    @staticmethod
    async def _stats(door: Child) -> Any:
        try:
            answer: Answer = await door.channel.ask(Ask("stats"), STATS_TIMEOUT_S)
        except (TimeoutError, ChannelClosed):
            return None
        return answer.data

    def _facts(self) -> list[Door]:
        living = {door.slot: door for door in self._doors()}
        facts = []
        for slot, count in self._replaced.items():
            door = living.get(slot)
            facts.append(Door(slot, door.pid if door else None, door is not None and door.ready, count))
        return facts
