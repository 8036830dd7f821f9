"""The door's end of a model process: the executor that a lane hands its calls to, and what it does when the process
dies. `remote.py` is the model that has one, or several.

A call is written from the event loop and its answer read there: no thread. While the process restarts, the call waits;
one that died with the process is tried once more, alone; an input that killed it twice is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from servable.domain.batch import Batch
from servable.engine.executor import Outcome, Returned
from servable.engine.process.line import Line
from servable.engine.process.poison import Suspects
from servable.engine.request import Request
from servable.errors import DeadlineExceeded, DeadlyInput, ModelFailed, NotReady, ServableError
from servable.wire import frames

GRACE_S: Final = 1.0
"""A call may outlive the last deadline among its requests by this much, or by EXPECTED times what it should take."""
EXPECTED: Final = 10.0
RECONNECT_S: Final = 0.05
DOWN_S: Final = 1.0
"""A process that has been away for longer makes its model not ready."""

logger = logging.getLogger("servable.engine")


class Terms(NamedTuple):
    """What an executor knows of its model. `kill(pid)` has a process ended that hangs: another follows at its
    address.
    """

    name: str
    kill: Callable[[int], None]
    stuck_after_s: float
    max_answer_bytes: int


class _Call:
    """What the lane has handed over: the requests, the outcomes there are, and which of them are with the process."""

    __slots__ = ("alone", "expected_s", "outcomes", "requests", "returned", "sent")

    def __init__(self, requests: Sequence[Request], expected_s: float, returned: Returned) -> None:
        self.requests = requests
        self.expected_s = expected_s
        self.returned = returned
        self.alone = False
        self.outcomes: list[Outcome | None] = [None] * len(requests)
        self.sent: list[int] = []


class RemoteExecutor:
    """Runs a lane's calls in a model process. All methods are for the event loop."""

    bounded = True

    def __init__(self, terms: Terms, address: str) -> None:
        self.address = address
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        self._line: Line | None = None
        self._pid = 0
        """Of the process that has welcomed us; 0 while none has."""
        self._call: _Call | None = None
        self._number = 0
        self._began = 0.0
        self._limit = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._fires = 0.0
        self._suspects = Suspects()
        self._since = monotonic()
        self._away: tuple[str, float] | None = None
        """Why the process does not come back soon, and the time before which it does not."""
        self._closed = False
        self._connect()

    # ---- what the lane asks

    def run(self, requests: Sequence[Request], expected_s: float, returned: Returned) -> None:
        call = self._call = _Call(requests, expected_s, returned)
        if self._suspects:
            now = monotonic()
            for index, request in enumerate(requests):
                if self._suspects.deadly(request.batch, now):
                    call.outcomes[index] = _deadly()
                    call.alone = True
        self._go()

    @property
    def away(self) -> bool:
        return not self._pid

    def unready(self) -> str:
        if self._pid or monotonic() - self._since < DOWN_S:
            return ""
        return self._away[0] if self._away else "its model process is being restarted"

    def note(self, reason: str, retry_after_s: float) -> None:
        """The supervisor says when the process comes back: callers whose time is up by then need not wait for it."""
        self._away = (reason, monotonic() + retry_after_s)
        if not self._pid:
            self._go()

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._line is not None:
            self._line.leave()
            self._line = None

    # ---- one call

    def _go(self) -> None:
        """Send what is to be sent next, if a process is there; finish when nothing is left."""
        call = self._call
        if call is None:
            return
        now = monotonic()
        reason, back = self._away or ("", 0.0)
        left = []
        for index, request in enumerate(call.requests):
            if call.outcomes[index] is not None:
                continue
            if request.over or request.deadline <= now:
                call.outcomes[index] = DeadlineExceeded("its time ran out while the model process was away")
            elif request.deadline <= back and not self._pid:
                call.outcomes[index] = NotReady(reason, retry_after_s=max(back - now, 0.1))
            else:
                left.append(index)
        if not left:
            self._call = None
            outcomes = [outcome for outcome in call.outcomes if outcome is not None]
            self._loop.call_soon(call.returned, outcomes, call.expected_s)
            return
        if self._line is not None and self._pid:
            if len(left) < len(call.requests):
                call.alone = True
            self._send(self._line, call, left[:1] if call.alone else left, now)

    def _send(self, line: Line, call: _Call, which: list[int], now: float) -> None:
        call.sent = which
        self._number += 1
        self._began = now
        deadline = max(call.requests[index].deadline for index in which)
        grace_s = max(GRACE_S, EXPECTED * call.expected_s)
        self._limit = min(deadline + grace_s, now + self._terms.stuck_after_s)
        # One timer for many calls: it looks anew when it fires, and is only replaced where it would come too late.
        if self._timer is None or self._limit < self._fires:
            self._wake_at(self._limit, now)
        line.call(self._number, Batch.join([call.requests[index].batch for index in which]), deadline)

    def _settle(self, call: _Call, outcome: Outcome) -> None:
        """The process has answered what was sent."""
        seconds = monotonic() - self._began
        if not call.alone:
            self._call = None
            call.returned(outcome, seconds)
            return
        for index in call.sent:
            call.outcomes[index] = outcome
            self._suspects.acquit(call.requests[index].batch)
        call.sent = []
        self._go()

    # ---- the connection

    def _connect(self) -> None:
        if self._closed:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self.address)
        except OSError:
            sock.close()
            self._loop.call_later(RECONNECT_S, self._connect)
            return
        self._line = Line(sock, self._heard, self._lost, self._terms.max_answer_bytes)

    def _heard(self, kind: int, number: int, head: memoryview, body: memoryview) -> None:
        if kind == frames.WELCOME:
            self._pid = number
            self._away = None
            self._go()
        elif kind == frames.GOODBYE:
            self._part(begun=False)
        elif number == self._number and self._line is not None and self._call is not None and self._call.sent:
            try:
                self._settle(self._call, self._outcome(self._line, kind, head, body))
            except frames.BadFrame as error:
                logger.error("%s: its model process sent %s: it is ended", self._terms.name, error)  # noqa: TRY400 - its error
                self._end()

    @staticmethod
    def _outcome(line: Line, kind: int, head: memoryview, body: memoryview) -> Outcome:
        if kind == frames.PROBLEM:
            problem = frames.read_problem(head)
            with contextlib.suppress(TypeError):
                return problem.error()
            return ModelFailed(problem.message)
        if kind != frames.ANSWER:
            raise frames.BadFrame(f"a frame of kind {kind}")
        answer, told = frames.read_batch(head, body, line.answers, copy=True)
        if told.wanted:
            line.make_room(told.wanted)
        return answer

    def _lost(self) -> None:
        """The process is gone."""
        self._part(begun=True)

    def _part(self, *, begun: bool) -> None:
        """Leave this process, and look for the next. `begun`: the call that is with it may have been its death."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
            begun = begun and line.begun in {None, self._number}
        if self._pid:
            self._since = monotonic()
        self._pid = 0
        call = self._call
        if call is not None and call.sent:
            if begun:
                self._accuse(call)
            call.alone = call.alone or begun
            call.sent = []
        self._connect()

    def _accuse(self, call: _Call) -> None:
        now = monotonic()
        for index in call.sent:
            if self._suspects.accuse(call.requests[index].batch, now):
                call.outcomes[index] = _deadly()

    def _overdue(self) -> None:
        """The timer of the call that was sent when there was none; the present one may have more time."""
        self._timer = None
        if self._call is None or not self._call.sent:
            return
        now = monotonic()
        if now < self._limit:
            self._wake_at(self._limit, now)
            return
        logger.error("%s: a call did not end in time: its model process is ended", self._terms.name)
        self._end()

    def _wake_at(self, when: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires = when
        self._timer = self._loop.call_later(when - now, self._overdue)

    def _end(self) -> None:
        """Have the process killed. Whatever it may still say is not heard: a late answer is nobody's."""
        self._terms.kill(self._pid)
        self._part(begun=True)


def _deadly() -> ServableError:
    return DeadlyInput("this input has ended the model's process twice: it is not tried again")
