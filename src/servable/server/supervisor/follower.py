"""Follower: makes the server do what is declared of a name, when somebody says so and when it finds out by itself.

What cannot be taken up is undone where it was declared: a version that does not load leaves the old one serving, now
and after the next start.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from servable.domain.route import Route
from servable.engine.plan import State
from servable.errors import BundleError, ServableError
from servable.server.supervisor.rollout import Rollout

LOOK_S: Final = 1.0
"""Between two looks at what is declared."""

logger = logging.getLogger("servable.supervisor")


class Declared(Protocol):
    """Where it is declared what is served. Both may block."""

    def news(self) -> set[str]:
        """Names that are declared otherwise than at the last call."""
        ...

    def undo(self, name: str, route: Route, reason: str) -> None:
        """Declare again what stands."""
        ...


class Follower:
    """Without `declared` there is nothing to find out, and nothing to undo."""

    def __init__(self, rollout: Rollout, declared: Declared | None = None) -> None:
        self.rollout = rollout
        self.declared = declared

    async def follow(self, name: str) -> list[State]:
        """Take up what is declared of a name now. Raises what `Rollout.follow` raises; then the old goes on."""
        standing = self.rollout.plan.routes.get(name)
        try:
            return await self.rollout.follow({name})
        except BundleError as error:
            if self.declared is not None and standing is not None:
                await asyncio.to_thread(self.declared.undo, name, standing, error.message)
            raise

    async def keep_on(self, declared: Declared) -> None:
        """Look, again and again. Whatever goes wrong is logged, once, and the next look tries again."""
        told = ""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                for name in sorted(await asyncio.to_thread(declared.news)):
                    await self._follow(name)
                told = ""
            except ServableError as error:
                if error.message != told:
                    logger.warning("what is declared cannot be read: %s; looking every second", error.message)
                told = error.message
            except Exception:  # the wall: what stands, stands, and serves on
                logger.exception("what is declared cannot be read")

    async def _follow(self, name: str) -> None:
        before = self.rollout.plan
        try:
            await self.follow(name)
        except ServableError as error:
            facts = {"event": "release_failed", "model": name}
            logger.error("%s: %s", name, error.message, extra=facts)  # noqa: TRY400 - the operator's error, not ours
        else:
            if self.rollout.plan != before:
                facts = {"event": "release_followed", "model": name}
                logger.info("%s: serves as it is declared now", name, extra=facts)
