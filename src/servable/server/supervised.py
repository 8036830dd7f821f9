"""SupervisedRepository: a door's way to change the whole server: it asks the supervisor, which tells every door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from servable.engine.plan import State
from servable.server.control import Channel, Want


class SupervisedRepository:
    """A Repository behind a control channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def load(self, name: str, parameters: Mapping[str, Any]) -> list[State]:
        return await self._states(Want("load", name, dict(parameters)))

    async def unload(self, name: str) -> list[State]:
        return await self._states(Want("unload", name))

    async def statistics(self) -> list[Mapping[str, Any]]:
        return [
            {"name": model["name"], "version": model["version"], **model["stats"]}
            for door in await self.doors()
            for model in door["models"]
        ]

    async def doors(self) -> Sequence[Mapping[str, Any]]:
        """The report of every door."""
        told: Sequence[Mapping[str, Any]] = await self._channel.want(Want("stats"))
        return told

    async def _states(self, want: Want) -> list[State]:
        return msgspec.convert(await self._channel.want(want), list[State])
