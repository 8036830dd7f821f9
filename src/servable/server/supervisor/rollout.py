"""Rollout: brings every door from the plan that stands to the one that is wanted, one door after another.

While a door loads anew it answers with the old, and so do the rest. A name that fails in any door goes back to what it
was in all of them; the other names go on. It starts no process and takes no signal: `supervisor.py` hands it the doors.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from servable.domain.problem import Problem
from servable.engine.plan import Plan, State
from servable.errors import BundleError, NotFound, ServableError, Unsupported
from servable.server.control import ChannelClosed
from servable.server.supervisor.child import Child
from servable.server.supervisor.policy import changed, concerned, graft, keep, merge, names, stamp

logger = logging.getLogger("servable.supervisor")


class Rollout:
    """`plan` is what stands: a new door starts with it. Changes are made one at a time, in the order of their asking.

    `resolve` reads configuration and registry anew; it may block, and raise.
    """

    def __init__(self, resolve: Callable[[], Plan]) -> None:
        self.plan = Plan()
        self.doors: Callable[[], Iterable[Child]] = tuple
        """Those alive."""
        self._resolve = resolve
        self._generations = itertools.count(1)
        self._unloaded: set[str] = set()
        self._changing = asyncio.Lock()

    async def begin(self) -> None:
        """The first plan."""
        async with self._changing:
            self.plan = await self._read()

    async def load(self, model: str, parameters: Mapping[str, Any]) -> list[State]:
        """Load a name as it is now declared; anew if it is loaded. Returns its states.

        Raises NotFound, Unsupported, or BundleError with the reason when it failed: what served before still serves.
        """
        if parameters:
            given = ", ".join(sorted(parameters))
            raise Unsupported(f"loading with parameters ({given}) is not offered: a model is loaded as it is declared")
        async with self._changing:
            resolved = await self._read()
            if model not in names(resolved):
                known = ", ".join(sorted(names(resolved))) or "none"
                raise NotFound(f"no model {model!r} is declared here (there are: {known})")
            self._check(await self._roll(graft(self.plan, resolved, {model})))
            self._unloaded.discard(model)
            return self.states(model)

    async def unload(self, model: str) -> list[State]:
        """Let go of a name until it is loaded again. Raises NotFound for one that was never declared."""
        async with self._changing:
            if model not in names(self.plan) | self._unloaded:
                known = ", ".join(sorted(names(self.plan))) or "none"
                raise NotFound(f"no model {model!r} is loaded here (there are: {known})")
            self._check(await self._roll(graft(self.plan, Plan(), {model})))
            self._unloaded.add(model)
            return self.states(model)

    async def follow(self, chosen: AbstractSet[str]) -> list[State]:
        """Take up what is declared of these names now: Routes, aliases, versions that are new. What is loaded stays.

        Returns their states. Raises what `resolve` raised, with nothing changed; or BundleError with those that failed:
        they stay as they were.
        """
        async with self._changing:
            resolved = keep(await self._read(), self.plan)
            touched = concerned(resolved, chosen) - self._unloaded
            self._check(await self._roll(graft(self.plan, resolved, touched)))
            return [state for state in self.states() if state.name in touched]

    async def reload(self) -> list[State]:
        """Load all that is declared anew, but what was unloaded. Returns all states.

        Raises what `resolve` raised, with nothing changed; or BundleError with the names that failed: they stay as
        they were.
        """
        async with self._changing:
            resolved = await self._read()
            self._check(await self._roll(graft(resolved, Plan(), self._unloaded)))
            return self.states()

    def states(self, model: str | None = None) -> list[State]:
        """What the doors said last, the worst of each version; of one name or of all."""
        merged = merge(door.states for door in self.doors())
        return [state for state in merged if model in (None, state.name)]

    async def _read(self) -> Plan:
        """What is declared now, as a new generation."""
        try:
            declared = await asyncio.to_thread(self._resolve)
        except ServableError:
            raise
        except Exception as error:  # the wall: a registry elsewhere may fail in its own words, and the server lives on
            raise ServableError(f"cannot read what is declared: {type(error).__name__}: {error}") from error
        return stamp(declared, next(self._generations))

    async def _roll(self, new: Plan) -> dict[str, str]:
        """Converge door by door, and again those that began before a failure was known: the reason by name.

        Ends: each turn takes a door to `wanted`, and `wanted` changes only by names going back to `old`.
        """
        old, wanted = self.plan, new
        failures: dict[str, str] = {}
        while door := next((door for door in self.doors() if door.plan != wanted), None):
            touched = changed(old, wanted)
            try:
                converged = await door.converge(wanted)
            except ChannelClosed:
                await door.lost()
                failed = dict.fromkeys(touched, f"door {door.slot} {door.obituary()} while it took up the change")
            else:
                bad = [state for state in converged.failures if state.name in touched]
                failed = {state.name: f"{state.name}:{state.version}: {state.reason}" for state in bad}
            failures |= failed
            wanted = graft(wanted, old, set(failed))
        self.plan = wanted
        return failures

    @staticmethod
    def _check(failures: Mapping[str, str]) -> None:
        if failures:
            reasons = "; ".join(failures[name] for name in sorted(failures))
            raise BundleError(f"not taken up, what served before still serves: {reasons}", models=sorted(failures))


def start_failure(states: Sequence[State]) -> ServableError:
    """The error of a server that could not bring up its first plan: of the first version's kind, with all reasons."""
    reasons = [f"{state.name}:{state.version} cannot be served: {state.reason}" for state in states]
    return Problem(states[0].code or BundleError.code, "\n".join(reasons)).error()
