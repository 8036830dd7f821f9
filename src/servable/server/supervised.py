"""SupervisedRepository: a door's way to change the whole server: it asks the supervisor, which tells every door."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from servable.engine.plan import State
from servable.errors import Unavailable
from servable.server.control import Channel, ChannelClosed, Want

STATS_TIMEOUT_S: Final = 2.0
"""A supervisor that is stopped or hangs must not hang whoever scrapes the doors."""


class SupervisedRepository:
    """A Repository behind a control channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def load(self, name: str, parameters: Mapping[str, Any]) -> list[State]:
        return await self._states(Want("load", name, dict(parameters)))

    async def unload(self, name: str) -> list[State]:
        return await self._states(Want("unload", name))

    async def follow(self, name: str) -> list[State]:
        """Take up what is declared of a name now: its Route, its aliases, versions that are new. Raises as `load`."""
        return await self._states(Want("follow", name))

    async def statistics(self) -> list[Mapping[str, Any]]:
        return [
            {"name": model["name"], "version": model["version"], **model["stats"]}
            for door in await self.doors()
            for model in door["models"]
        ]

    async def doors(self) -> Sequence[Mapping[str, Any]]:
        """The report of every door."""
        try:
            async with asyncio.timeout(STATS_TIMEOUT_S):
                told: Sequence[Mapping[str, Any]] = await self._channel.want(Want("stats"))
        except (TimeoutError, ChannelClosed) as error:
            raise Unavailable("the supervisor does not answer: the numbers of all doors cannot be had") from error
        return told

    async def _states(self, want: Want) -> list[State]:
        return msgspec.convert(await self._channel.want(want), list[State])
