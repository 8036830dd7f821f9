"""Texts: the versions of a name that make texts, as its Route presents them: who is drawn, who stands in, who hears
along.

A spare is asked only while nobody has said anything. A shadow is given the prompt of a text that is finished, makes its
own at leisure, and the two are compared as a whole.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple

from servable.domain.generation import Piece, Prompt
from servable.engine.routing.counts import RouteCounts, ShadowCounts
from servable.engine.routing.mirror import MARK
from servable.engine.routing.policy import rest_s
from servable.engine.routing.spares import EXCUSES
from servable.engine.routing.telling import Telling, begin, followed
from servable.engine.serving import Serving
from servable.errors import ServableError, Unavailable

MOST_WAITING: Final = 16
"""Texts that a shadow may have before it."""
PATIENCE_S: Final = 300.0
"""What a shadow may take for one."""
FIRST_SHARE: Final = 0.5
"""Of the time that a text may take, what its first piece may while somebody else could still tell it."""


class _Told(NamedTuple):
    """A text that is finished."""

    prompt: Prompt
    request_id: str
    text: str


class Texts:
    """Of one version. `find` gives who could stand in for it at the time, `value` what is told when nobody can."""

    def __init__(
        self,
        serving: Serving,
        find: Callable[[], Sequence[Serving]],
        value: Mapping[str, Any],
        counts: RouteCounts,
        assigned: dict[str, int] | None,
        shadows: Sequence[TextMirror],
    ) -> None:
        self._serving = serving
        self._find = find
        texts = [str(value[field.name]) for field in serving.signature.outputs if field.name in value]
        self._value = texts[0] if texts else ""
        self._counts = counts
        self._assigned = assigned
        self._shadows = [shadow for shadow in shadows if not shadow.of(serving)]

    async def begin(self, prompt: Prompt, within_s: float, request_id: str = "") -> Telling:
        """As `telling.begin`, by whoever can."""
        serving = self._serving
        if self._assigned is not None:
            self._assigned[serving.version] = self._assigned.get(serving.version, 0) + 1
        telling = await self._begin(prompt, within_s, request_id)
        if not self._shadows:
            return telling

        def copied(text: str) -> None:
            for shadow in self._shadows:
                shadow.copy(_Told(prompt, request_id, text))

        return followed(telling, copied)

    async def _begin(self, prompt: Prompt, within_s: float, request_id: str) -> Telling:
        deadline = monotonic() + within_s
        asked = [self._serving, *(spare for spare in self._find() if spare.generations is not None)]
        first: ServableError | None = None
        for place, one in enumerate(asked):
            left_s = deadline - monotonic()
            more = place + 1 < len(asked) or self._value
            try:
                telling = await begin(one, prompt, left_s, request_id, left_s * FIRST_SHARE if more else None)
            except EXCUSES as error:
                first = first or error
                continue
            return telling if first is None else self._instead(telling, f"{one.name}:{one.version}", first)
        assert first is not None  # noqa: S101 - the version itself was asked
        if not self._value:
            raise first
        return self._instead(Telling(self._serving, Piece(self._value, "stop"), _pieces()), "value", first)

    def _instead(self, telling: Telling, who: str, error: ServableError) -> Telling:
        why = f"{self._serving.version} {error.code}"
        self._counts.fallbacks[why] = self._counts.fallbacks.get(why, 0) + 1
        return telling._replace(stood_in=who, why=error.code)


class TextMirror:
    """To one shadow: one text after another, and rests between them, long ones while `busy` versions make others."""

    def __init__(self, shadow: Serving, counts: ShadowCounts, busy: Callable[[], bool]) -> None:
        self._shadow = shadow
        self._counts = counts
        self._busy = busy
        self._waiting: deque[_Told] = deque()
        self._task: asyncio.Task[None] | None = None

    def of(self, serving: Serving) -> bool:
        """Whether this version is the shadow itself."""
        return serving.lane is self._shadow.lane

    def copy(self, told: _Told) -> None:
        """Let the shadow tell the same."""
        if len(self._waiting) >= MOST_WAITING:
            self._counts.dropped += 1
            return
        self._waiting.append(told)
        if self._task is None:
            self._task = asyncio.ensure_future(self._work())

    def close(self) -> None:
        """No more copies. What waits, or is being told, is let go."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        while self._waiting:
            began = monotonic()
            await self._compare(self._waiting.popleft())
            await asyncio.sleep(rest_s(monotonic() - began, math.inf if self._busy() else 0.0))
        self._task = None

    async def _compare(self, told: _Told) -> None:
        try:
            telling = await begin(self._shadow, told.prompt, PATIENCE_S, f"{told.request_id}{MARK}")
            text = telling.first.text + "".join([piece.text async for piece in telling.rest])
        except Unavailable:
            self._counts.dropped += 1  # it has no room, or is left alone
        except ServableError:
            self._counts.failed += 1
        else:
            self._counts.compared += 1
            self._counts.rows += 1
            self._counts.agreed += text == told.text


async def _pieces(*pieces: Piece) -> AsyncGenerator[Piece]:
    for piece in pieces:
        yield piece
