"""Front: the versions of a name as its Route presents them. What a plain Route does not need costs it nothing.

Requests that name a version go straight to it; those that leave the choice to the Route come through here.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from servable.domain.contract import stands_in
from servable.domain.generation import Prompt
from servable.domain.route import Route
from servable.engine.request import Request
from servable.engine.routing.answered import Answered
from servable.engine.routing.by_reward import ByReward
from servable.engine.routing.counts import RouteCounts, ShadowCounts
from servable.engine.routing.mirror import Mirror
from servable.engine.routing.spares import Spares
from servable.engine.routing.telling import Telling, followed
from servable.engine.routing.texts import TextMirror, Texts
from servable.engine.serving import Serving
from servable.errors import InvalidInput

logger = logging.getLogger("servable.engine")

Find = Callable[[str], Serving | None]
"""What serves under a Ref, if anything does."""
Keep = Callable[[Answered], None]
"""Keeps what was answered until its outcome comes."""


class Front:
    """For one name. Its live version is among the `versions`."""

    def __init__(
        self,
        route: Route,
        versions: Mapping[str, Serving],
        counts: RouteCounts,
        find: Find,
        keep: Keep | None = None,
    ) -> None:
        self.counts = counts
        self._mirrors = [
            Mirror(versions[version], counts.shadows.setdefault(version, ShadowCounts()))
            for version in route.shadows
            if version in versions
        ]
        shadows = [
            TextMirror(versions[version], counts.shadows[version], self._busy)
            for version in route.shadows
            if version in versions and versions[version].generations is not None
        ]
        self._mirrors_of_texts = shadows
        self._route = route
        self._choose = route.chooser()
        chosen = {version: versions[version] for version in (route.live, *route.tried) if version in versions}
        self._chosen = chosen
        found = {version: _found(route, serving, versions, find) for version, serving in chosen.items()}
        spares = {version: _spares(route, serving, found[version], counts) for version, serving in chosen.items()}
        self._named, self._drawn = (
            {
                version: _with_texts(
                    _presented(serving, _way(serving, self._mirrors, spares[version], assigned)),
                    Texts(serving, found[version], route.fallback_value, counts, assigned, shadows),
                )
                for version, serving in chosen.items()
            }
            for assigned in (None, counts.assigned if route.tried else None)
        )
        """By version: for requests that name their unit, and for those that are drawn one by one, which are counted."""
        self._by_reward: Serving | None = None
        if route.bandit is not None:
            live, arms = self._drawn[route.live], {arm: self._drawn[arm] for arm in route.arms if arm in self._drawn}
            self._by_reward = _presented(live, ByReward(route.bandit, live, arms, find, counts).submit)
        self._keep = keep if route.outcomes else None
        if self._keep is not None:
            self._drawn = {version: _kept(serving, "", self._keep) for version, serving in self._drawn.items()}

    def choose(self, request_id: str, unit: str) -> Serving:
        """What answers this request, of this unit if it names one. A canary that is not there is not chosen. Where a
        bandit chooses, which it does once it knows the inputs, it is as the live version that it is asked.
        """
        if self._by_reward is not None:
            return self._by_reward
        named = self._named if unit else self._drawn
        chosen = named.get(self._choose(unit or request_id)) or named[self._route.live]
        return _kept(chosen, unit, self._keep) if unit and self._keep is not None else chosen

    def close(self) -> None:
        """Another takes its place."""
        for mirror in self._mirrors:
            mirror.close()
        for shadow in self._mirrors_of_texts:
            shadow.close()

    def _busy(self) -> bool:
        """Whether texts are being made for callers."""
        return any(one.generations is not None and one.generations.active for one in self._chosen.values())


def _presented(serving: Serving, submit: Callable[[Request], None]) -> Serving:
    """The same version, with another way in."""
    presented = copy.copy(serving)
    presented.submit = submit
    return presented


def _with_texts(serving: Serving, texts: Texts) -> Serving:
    """The same, and another way for texts to begin."""
    if serving.generations is not None:
        serving.begin = texts.begin
    return serving


def _found(
    route: Route, serving: Serving, versions: Mapping[str, Serving], find: Find
) -> Callable[[], Sequence[Serving]]:
    """Who could stand in, at the time: for one that is tried the live version, so that no caller pays for the trial;
    then what the Route names.
    """
    own = [versions[route.live]] if serving.version != route.live and route.live in versions else []
    named = route.fallback

    def found() -> Sequence[Serving]:
        other = find(named) if named is not None else None
        return [spare for spare in (*own, other) if spare is not None and stands_in(spare.signature, serving.signature)]

    return found


def _spares(
    route: Route, serving: Serving, found: Callable[[], Sequence[Serving]], counts: RouteCounts
) -> Spares | None:
    if serving.version == route.live and route.fallback is None and not route.fallback_value:
        return None
    try:
        return Spares(serving, found, route.fallback_value, counts)
    except InvalidInput as error:
        logger.error("%s:%s: %s", serving.name, serving.version, error.message)  # noqa: TRY400 - the operator's error
        return Spares(serving, found, {}, counts)


def _way(
    serving: Serving, mirrors: Sequence[Mirror], spares: Spares | None, assigned: dict[str, int] | None
) -> Callable[[Request], None]:
    """The way in that does all this, and no more."""
    version = serving.version
    if assigned is not None:
        assigned.setdefault(version, 0)
    own = [mirror for mirror in mirrors if not mirror.of(serving)]

    def submit(request: Request) -> None:
        if assigned is not None:
            assigned[version] += 1
        for mirror in own:
            mirror.copy(request)
        if spares is not None:
            spares.stand_by(request)
        serving.submit(request)

    return submit


def _kept(serving: Serving, unit: str, keep: Keep) -> Serving:
    """The same version, whose answers to a unit are kept as their callers get them."""

    def over(on_done: Callable[[Request], None], request: Request) -> None:
        on_done(request)
        if request.answer is not None:
            keep(Answered(serving, unit, request.id, request))

    def submit(request: Request) -> None:
        request.on_done = partial(over, request.on_done)
        serving.submit(request)

    async def begun(prompt: Prompt, within_s: float, request_id: str) -> Telling:
        telling = await serving.begin(prompt, within_s, request_id)
        return followed(telling, lambda _: keep(Answered(serving, unit, request_id)))

    presented = _presented(serving, submit)
    presented.begin = begun
    return presented
