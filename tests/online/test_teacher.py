"""A door's end of a learner's process, against a socket that says what a process might say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.online import messages
from servable.online.messages import Progress
from servable.online.teacher import Teacher
from servable.wire.frames import WELCOME

SIGNATURE = Signature((Field("x", "FP32"),), (Field("y", "FP32"),))


def learned(offset: int, state: bytes) -> bytes:
    return messages.frame(messages.LEARNED, 0, messages.encode(Progress(offset, offset)), state)


async def told(
    address: Path, said: list[list[bytes]], story: Callable[[Teacher, list[bytes]], Awaitable[None]]
) -> None:
    """The story of a teacher to whom the process says one list of frames on each connection."""
    taken: list[bytes] = []

    def take(_: Progress, state: bytes) -> None:
        if state == b"odd":
            raise TypeError("what is this?")
        taken.append(state)

    left, gone = iter(said), asyncio.Event()

    async def process(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(messages.frame(WELCOME, 0) + b"".join(next(left, [])))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_unix_server(process, address), asyncio.timeout(20):
        teacher = await Teacher.connect("m", str(address), SIGNATURE, take)
        try:
            await story(teacher, taken)
        finally:
            gone.clear()
            teacher.close()
            await gone.wait()


async def test_a_state_that_cannot_be_taken_leaves_the_one_before_and_the_next_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(teacher: Teacher, taken: list[bytes]) -> None:
        await teacher.applied(3)
        assert taken == [b"first", b"third"]
        assert teacher.progress == Progress(3, 3)

    with caplog.at_level(logging.CRITICAL):
        frames = [learned(1, b"first"), learned(2, b"odd"), learned(3, b"third")]
        await told(tmp_path / "socket", [frames], story)


@pytest.mark.parametrize(
    "nonsense",
    [
        messages.frame(messages.LEARNED, 0, b"\xc1"),
        messages.frame(messages.STANDING, 0, body=b"{"),
        messages.frame(messages.TAUGHT, 0, messages.encode([messages.Taken(), messages.Taken()])),
        messages.frame(99, 0),
    ],
)
async def test_after_nonsense_it_connects_anew(
    tmp_path: Path, nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(teacher: Teacher, taken: list[bytes]) -> None:
        await teacher.applied(2)
        assert taken[-1] == b"second"

    with caplog.at_level(logging.CRITICAL):
        await told(tmp_path / "socket", [[learned(1, b"first"), nonsense], [learned(2, b"second")]], story)
