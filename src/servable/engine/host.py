"""Host: holds what is loaded and converges to the Plan. A new version is loaded, warmed up, measured and proven before
the pointer flips; the old one then drains. Any failure leaves the old one serving.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from servable.domain.record import Records
from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.engine.lane import Limits
from servable.engine.loading import Loaded, unchanged
from servable.engine.plan import Plan, State, Target
from servable.engine.process.remote import RemoteModel
from servable.engine.routing.counts import RouteCounts
from servable.engine.routing.front import Front, Keep
from servable.engine.serving import Serving
from servable.errors import ServableError

LAST_STATE_S: Final = 5.0
"""For what a learner keeps when its server is being stopped."""

logger = logging.getLogger("servable.engine")


class Entry(NamedTuple):
    """All that is loaded of one name: its Route, its versions, its aliases (alias to version)."""

    route: Route
    versions: dict[str, Serving]
    aliases: dict[str, str]
    front: Front | None = None
    """Of a Route with more than a live version."""


class Host:
    """The loaded versions of one process. All methods are for its event loop."""

    def __init__(
        self,
        load: Callable[[Target], Loaded],
        limits: Limits | None = None,
        on_record: Callable[[Records], None] | None = None,
        keep: Keep | None = None,
    ) -> None:
        """`load` opens, digest-checks, loads, warms up, measures and proves a target, on a thread; it raises if it
        can't. `keep` takes the answers whose outcomes a Route waits for.
        """
        self.table: dict[str, Entry] = {}
        """Read by the router at each request; replaced whole, never changed in place."""
        self.routes: dict[str, RouteCounts] = {}
        """What the Routes with more than a live version have done, by name."""
        self._load = load
        self._limits = limits or Limits()
        self._on_record = on_record
        self._keep = keep
        self._plan = Plan()
        self._unavailable: dict[tuple[str, str], State] = {}
        self._failures: dict[tuple[str, str], State] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._converging = asyncio.Lock()
        self._loader = ThreadPoolExecutor(1, "servable-load")
        self._draining = False
        self.converged = False

    @property
    def ready(self) -> bool:
        """Every wanted name has a live version that answers, none of them is stuck, and we are not shutting down."""
        return self.converged and not self._draining and not self.lacking()

    def lacking(self) -> list[str]:
        """Wanted names without a live version."""
        return [name for name, route in self._plan.routes.items() if not self._live(name, route)]

    def _live(self, name: str, route: Route) -> bool:
        entry = self.table.get(name)
        serving = entry and (entry.versions.get(route.live) or entry.versions.get(entry.route.live))
        return serving is not None and not serving.lane.unready()

    def servings(self) -> list[Serving]:
        """Every version that answers, by name and version."""
        return [serving for _, entry in sorted(self.table.items()) for _, serving in sorted(entry.versions.items())]

    def states(self) -> list[State]:
        """Every wanted or loaded version and what became of it."""
        loaded = {(serving.name, serving.version): serving.as_state() for serving in self.servings()}
        return [state for _, state in sorted((self._unavailable | loaded).items())]

    def failures(self) -> tuple[State, ...]:
        """Targets that could not be brought up, also where an older version still answers in their place."""
        return tuple(state for _, state in sorted(self._failures.items()))

    def state_of(self, name: str, version: str | None = None) -> State | None:
        """What became of a version that does not answer; of any of the name, without a version."""
        found = (s for s in self._unavailable.values() if s.name == name and version in (None, s.version))
        return next(found, None)

    def find(self, ref: str) -> Serving | None:
        """What serves under a Ref at this moment: of a bare name the live version."""
        wanted = Ref.parse(ref)
        entry = self.table.get(wanted.name)
        if entry is None:
            return None
        named = wanted.version if wanted.alias is None else entry.aliases.get(wanted.alias)
        if wanted.alias is None and wanted.version is None:
            named = entry.route.live
        return entry.versions.get(named or "")

    async def converge(self, plan: Plan) -> list[State]:
        """Load what is wanted and not there, flip, drain what is there and not wanted. Returns all states, with
        reasons.

        One at a time; a second call waits for the first.
        """
        async with self._converging:
            self._plan = plan
            wanted = {(target.name, target.version) for target in plan.targets}
            self._unavailable = {key: state for key, state in self._unavailable.items() if key in wanted}
            self._failures = {key: state for key, state in self._failures.items() if key in wanted}
            for target in plan.targets:
                entry = self.table.get(target.name)
                if entry is None or target.version not in entry.versions:
                    # Said before the first is begun: the last of a long list is not unknown meanwhile, but on its way.
                    key = (target.name, target.version)
                    self._unavailable[key] = State(*key, "LOADING")
            for target in plan.targets:
                await self._bring(target)
            self._flip(plan)
            self.converged = True
            return self.states()

    async def _bring(self, target: Target) -> None:
        """Load one target, unless this generation of it is loaded already. A failure is noted, and changes nothing."""
        entry = self.table.get(target.name)
        present = entry.versions.get(target.version) if entry else None
        if present is not None and present.generation >= target.generation:
            return
        key = (target.name, target.version)
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(self._loader, self._anew, target, present)
        except ServableError as error:
            self._failed(target, error.message, error.code)
        except Exception as error:  # the wall: a format's library may raise anything
            logger.exception("loading %s:%s failed", target.name, target.version)
            self._failed(target, f"{type(error).__name__}: {error}", ServableError.code)
        else:
            self._unavailable.pop(key, None)
            self._failures.pop(key, None)
            if loaded is not None:
                stats = present.stats if present else None
                self._put(Serving(target, loaded, self._limits, self._on_record, stats, self.find))
            elif present is not None:
                present.generation = target.generation

    def _anew(self, target: Target, present: Serving | None) -> Loaded | None:
        """On the loading thread: what is to take the place of `present`; None: it learns, and goes on as it is. Another
        beside it could not open its journal, and would make the same of it.
        """
        if present is not None and present.learns:
            unchanged(target, present.bundle.digest)
            return None
        return self._load(target)

    def _failed(self, target: Target, reason: str, code: str) -> None:
        state = State(target.name, target.version, "UNAVAILABLE", reason, code)
        self._unavailable[target.name, target.version] = self._failures[target.name, target.version] = state
        logger.error("%s:%s is not available: %s", target.name, target.version, reason)

    def _put(self, serving: Serving) -> None:
        """Let a new version answer under its own number; the Route is not touched, unless it is the first of its
        name.
        """
        entry = self.table.get(serving.name) or Entry(Route(serving.version), {}, {})
        old = entry.versions.get(serving.version)
        versions = {**entry.versions, serving.version: serving}
        front = self._front(serving.name, entry.route, versions, entry.front)
        self.table = {**self.table, serving.name: entry._replace(versions=versions, front=front)}
        logger.info("%s:%s is ready", serving.name, serving.version)
        if old is not None:
            self._retire(old)

    def _flip(self, plan: Plan) -> None:
        """Take up the plan's Routes where their live version is loaded, and let go of what nobody wants any more."""
        wanted = {(target.name, target.version) for target in plan.targets}
        table = {}
        for name, entry in self.table.items():
            route = plan.routes.get(name)
            if route is None:
                route = entry.route if any(key[0] == name for key in wanted) else None
            elif route.live not in entry.versions:
                route = entry.route
            keep = {
                version: serving
                for version, serving in entry.versions.items()
                if (name, version) in wanted or (route is not None and version == route.live)
            }
            for version, serving in entry.versions.items():
                if version not in keep:
                    self._retire(serving)
            if route is not None and keep:
                table[name] = Entry(
                    route, keep, plan.aliases.get(name, {}), self._front(name, route, keep, entry.front)
                )
            elif entry.front is not None:
                entry.front.close()
        self.table = table

    def _front(self, name: str, route: Route, versions: dict[str, Serving], before: Front | None) -> Front | None:
        """What presents these versions by this Route; none for a plain one."""
        if before is not None:
            before.close()
        if route.plain or route.live not in versions:
            return None
        return Front(route, versions, self.routes.setdefault(name, RouteCounts()), self.find, self._keep)

    def _retire(self, serving: Serving) -> None:
        task = asyncio.get_running_loop().create_task(serving.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def stuck_s(self) -> float:
        """How long the longest model call has been running."""
        return max((serving.lane.stuck_s() for serving in self.servings()), default=0.0)

    def note(self, address: str, reason: str, retry_after_s: float) -> None:
        """The model process at this address is not back before `retry_after_s`: its callers are told."""
        for serving in self.servings():
            if isinstance(serving.lane.model, RemoteModel):
                serving.lane.model.note(address, reason, retry_after_s)

    def refuse_new(self) -> None:
        """Turn not-ready, and go on answering: balancers look elsewhere before the doors close."""
        self._draining = True

    async def drain(self, timeout_s: float) -> None:
        """Answer what was let in, up to `timeout_s`, then give everything back."""
        self._draining = True
        for entry in self.table.values():
            if entry.front is not None:
                entry.front.close()
        servings = self.servings()
        ending = [asyncio.ensure_future(end()) for serving in servings if (end := serving.end) is not None]
        if ending:
            await asyncio.wait(ending, timeout=LAST_STATE_S)
        retiring = [asyncio.ensure_future(serving.retire()) for serving in servings] + list(self._retiring)
        if retiring:
            await asyncio.wait(retiring, timeout=timeout_s)
        self.table = {}
        self._loader.shutdown(wait=False, cancel_futures=True)
