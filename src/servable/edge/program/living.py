"""Living: what answers on this machine, as it goes on after its export: the edition in use, or a server where this
machine cannot or may not.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from threading import Event, Lock
from typing import Any, Final, TypeVar

from servable.edge.program.held import Held, NotHere, held, settings
from servable.edge.program.kept import Kept
from servable.edge.program.queue import Queue
from servable.edge.program.remote import Remote
from servable.edge.program.updates import Editions, State
from servable.edge.served import Told, answers
from servable.errors import Refused, ServableError, Unavailable, UsageError

DAY_S: Final = 86_400.0
TIMED: Final = 9
ENOUGH: Final = 5
FIRST_RETRY_S: Final = 60.0
LAST_RETRY_S: Final = 21_600.0
SOON_S: Final = 5.0

T = TypeVar("T")


class Living:
    """Of an archive; newer editions are kept in a folder, beside it where none is named. `key` is for the server."""

    def __init__(self, archive: Path, keep: Path | None = None, key: str = "") -> None:
        """Raises ServableError where not even the shipped edition can be opened."""
        self.held: Held
        """The edition in use."""
        self.away: str | None = None
        """Why the server answers in the place of this machine; None: it does not."""
        self.queue: Queue | None = None
        """What goes home later; None: nothing does."""
        self._settings = settings(archive)
        self._times: list[float] = []
        self._alone = Lock()
        self._editions: Editions | None = None
        self._remote: Remote | None = None
        if self._settings is None:
            self.held = held(archive)
            return
        place = keep or archive.with_suffix(".kept")
        if self._settings.server:
            self._remote = Remote(self._settings.server, self._settings.name, key)
        if self._settings.share:
            self.queue = Queue(self._settings, place / "waiting", key)
        kept = Kept(place)
        self._editions = Editions(archive, self._settings, kept, self._use)
        self._editions.begin()

    def _use(self, held: Held) -> None:
        self.held = held

    @property
    def stopped(self) -> str | None:
        """Why the edition in use may not answer; None: it may."""
        if self._settings is None or self._editions is None:
            return None
        known, version = self._editions.known, self.held.facts.version
        if version in known["disabled"]:
            return f"version {version} of {self._settings.name!r} was withdrawn: {known['disabled'][version]}"
        grace_s = self._settings.grace_s
        since_s = time.time() - max(known["checked"], known["first"])
        if grace_s is None or since_s <= grace_s:
            return None
        return (
            f"{self._settings.name!r} may answer for {grace_s / DAY_S:.3g} days without news from its publisher, and "
            f"had none for {since_s / DAY_S:.3g} days: connect once"
        )

    def ask(self, here: Callable[[Held], T], there: Callable[[Remote], T]) -> T:
        """What this machine says, or the server in its place. Raises ServableError as either does."""
        reason = self.stopped or self.away
        if reason is not None:
            if self._remote is None:
                raise Unavailable(reason)
            return there(self._remote)
        began = time.perf_counter()
        try:
            told = here(self.held)
        except NotHere as error:
            if self._remote is None:
                raise
            try:
                return there(self._remote)
            except Unavailable as failed:
                raise Unavailable(f"{error.message}; {failed.message}") from failed
        self._time((time.perf_counter() - began) * 1000)
        return told

    def answers(self, bodies: Iterable[Any]) -> list[Told]:
        """The answer, or the refusal, to each body."""
        return [self._answer(body) for body in bodies]

    def _answer(self, body: Any) -> Told:
        try:
            return self.ask(lambda held: self._here(held, body), lambda remote: remote.told(body))
        except ServableError as error:
            return error.body()

    def _here(self, held: Held, body: Any) -> Told:
        (told,) = answers(held.predictor, held.facts.version, [body])
        if told.get("code") == NotHere.code and "fallback" in told:
            raise NotHere(told["error"], fallback=told["fallback"])
        if self.queue is not None and "rows" in body and ("rows" in told or told.get("code") == Refused.code):
            code = told.get("code", "")
            self.queue.keep(uuid.uuid4().hex, held.facts.version, body["rows"], told.get("rows"), code)
        return told

    def _time(self, took_ms: float) -> None:
        """A machine that is too slow leaves it to the server: the median of its last answers, once there are some."""
        slowest_ms = None if self._settings is None or self._remote is None else self._settings.slowest_ms
        if slowest_ms is None:
            return
        self._times = [*self._times, took_ms][-TIMED:]
        if len(self._times) >= ENOUGH and (middle := median(self._times)) > slowest_ms:
            told = f"an answer takes {middle:.3g} ms on this machine, at most {slowest_ms:g} are allowed"
            self.away = f"the server answers: {told}"

    # ---- updates

    @property
    def due_s(self) -> float | None:
        """In how many seconds a look for updates is due; None where this program takes none."""
        if self._settings is None or self._editions is None or not self._settings.updates:
            return None
        checked: float = self._editions.known["checked"]
        return max(0.0, checked + self._settings.every_s - time.time())

    def update(self) -> State:
        """Look for an update now. Raises UsageError where this program takes none."""
        if self._editions is None or self.due_s is None:
            raise UsageError("this program takes no updates: it was exported without --updates")
        with self._alone:
            return self._editions.update()

    def rollback(self) -> State:
        """Go back to the edition before this one, and not take this one again. Raises UsageError as `update` does."""
        if self._editions is None or self.due_s is None:
            raise UsageError("this program takes no updates: it was exported without --updates")
        with self._alone:
            return self._editions.rollback()

    def send(self, over: Event) -> None:
        """Send home what waits, now and then, less and less often where that fails, until it is `over`."""
        failures = 0
        wait_s = 0.0
        while self.queue is not None and not over.wait(wait_s):
            failures = failures + 1 if self.queue.send() else 0
            wait_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (failures - 1)) if failures else SOON_S

    def look(self, over: Event) -> None:
        """Look now and then, soon where it failed and less and less so, until it is `over`."""
        failures = 0
        wait_s = 0.0
        while self.due_s is not None and not over.wait(wait_s):
            failures = failures + 1 if self.update().update == "unreachable" else 0
            every_s = self.due_s or FIRST_RETRY_S
            wait_s = min(every_s, FIRST_RETRY_S * 2 ** (failures - 1)) if failures else every_s
