"""Watch: looks after canaries, one look after another, until none is left. Rolls back and promotes by `policy.py`.

It runs in a process of its own that may be killed at any time: what is known is written down after each look, and the
one that comes next goes on with it. It asks for the doors' counts, and for nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.domain.joined import Joined
from servable.domain.ref import Ref
from servable.domain.verdict import Verdict
from servable.errors import ServableError
from servable.registry.release import NOTE, Release
from servable.release.acts import Acts
from servable.release.counts import counts_of
from servable.release.policy import Action, decide
from servable.release.trial import Trial

SOURCE: Final = "canary"
"""Who the verdicts are by."""
FOLDER: Final = "release"
"""Of the home, where trials are written down."""

logger = logging.getLogger("servable.release")

Reports = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
Join = Callable[[str, Release, Joined], Joined]
"""Of a name and its release: what outcomes have come to, with all that came since the last time."""


class Standing(msgspec.Struct, frozen=True):
    """What is written down after a look."""

    trial: Trial
    action: Action = "watch"
    reason: str = ""
    verdicts: tuple[Verdict, ...] = ()


class Watch:
    """`follow(name)` makes the server take up what was decided; `join` joins answers with their outcomes."""

    def __init__(
        self,
        acts: Acts,
        reports: Reports,
        follow: Callable[[str], Awaitable[object]],
        join: Join | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._acts = acts
        self._reports = reports
        self._follow = follow
        self._join = join
        self._now = now
        self._folder = acts.registry.home / FOLDER

    async def run(self, look_s: float) -> None:
        """Until no name has a canary. Looks are free: the tests are valid at every one. A look that fails is logged,
        and the next one tries again.
        """
        while releases := await asyncio.to_thread(self.canaries):
            try:
                await self.look(releases)
            except ServableError as error:
                logger.warning("canaries could not be looked after: %s", error.message)
            await asyncio.sleep(look_s)

    def canaries(self) -> dict[str, Release]:
        """The names that have one."""
        living = self._acts.registry.catalog().living
        releases = {name: self._acts.release(name) for name, model in living.items() if NOTE in model.noted}
        return {name: release for name, release in releases.items() if release.route.canary is not None}

    async def look(self, releases: Mapping[str, Release]) -> None:
        """One look at each canary, and what is to be done about it."""
        reports = await self._reports()
        for name, release in releases.items():
            standing = await asyncio.to_thread(self._judge, name, release, reports)
            if standing.action in {"roll back", "promote"}:
                await asyncio.to_thread(self._act, name, standing)
                await self._follow(name)

    def _judge(self, name: str, release: Release, reports: Sequence[Mapping[str, Any]]) -> Standing:
        """Feed the trial, and write down how it stands now."""
        route = release.route
        assert route.canary is not None  # noqa: S101 - that is why it is looked at
        before = standing_of(self._folder, name)
        trial = before.trial if before is not None else None
        if trial is None or (trial.canary, trial.live, trial.began) != (route.canary, route.live, release.began):
            trial = Trial.begin(route.canary, route.live, release.began, release.terms)
        canary, live = (counts_of(reports, name, version) for version in (route.canary, route.live))
        trial = trial.look(canary, live, self._joined(name, release, trial.joined))
        decision = decide(trial, release.terms, route.canary_share, self._now() - release.began)
        standing = Standing(trial, decision.action, decision.reason, decision.verdicts)
        _write(self._folder, name, standing)
        return standing

    def _joined(self, name: str, release: Release, before: Joined) -> Joined:
        """Where outcomes cannot be read, what was known: errors and latency are looked after all the same."""
        if self._join is None or not release.terms.success:
            return before
        try:
            return self._join(name, release, before)
        except ServableError as error:
            logger.warning("the outcomes of %s could not be read: %s", name, error.message)
            return before

    def _act(self, name: str, standing: Standing) -> None:
        canary = standing.trial.canary
        if self._acts.release(name).began != standing.trial.began:
            return  # somebody else has decided meanwhile
        self._acts.registry.record_verdicts(Ref(name, canary), standing.verdicts, SOURCE)
        if standing.action == "promote":
            self._acts.promote(Ref(name, canary), override_reason=standing.reason)
            event = "canary_promoted"
        else:
            self._acts.rollback(name, standing.reason)
            event = "canary_rolled_back"
        facts = {"event": event, "model": name, "version": canary}
        logger.warning("%s:%s: %s: %s", name, canary, standing.action, standing.reason, extra=facts)


def standing_of(folder: Path, name: str) -> Standing | None:
    """How a canary stood after the last look; None if nobody has looked, or what was written down cannot be read."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Standing)
    return None


def _write(folder: Path, name: str, standing: Standing) -> None:
    """Whole or not at all. It need not survive the machine's end: then counting began anew as well."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = folder / f".{name}.json.half"
    with open(half, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(msgspec.json.encode(standing))
    half.replace(folder / f"{name}.json")
