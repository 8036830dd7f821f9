"""The door's end of a model process that makes texts: prompts go out, pieces come in, on a connection of their own.

Nothing is tried twice: a text that the process's death has cut off cannot be taken back from its reader. What had not
begun is refused with a word when to ask again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from servable.domain.generation import Piece, Prompt
from servable.engine.generations import Heard
from servable.errors import ModelFailed, NotReady, ServableError
from servable.wire import frames

RECONNECT_S: Final = 0.05
RETRY_S: Final = 1.0


class RemoteSpeaker:
    """A Speaker over one or several processes of the same model. Each prompt goes to the least busy."""

    def __init__(self, addresses: Sequence[str], max_frame_bytes: int) -> None:
        self._lines = [_Line(address, max_frame_bytes) for address in addresses]

    def start(self, prompt: Prompt, deadline: float, heard: Heard) -> Callable[[], None]:
        line = min(self._lines, key=lambda line: line.load)
        return line.start(prompt, deadline, heard)

    def close(self) -> None:
        for line in self._lines:
            line.close()


class _Text:
    """One prompt's place: its frame until it is sent, and who listens."""

    __slots__ = ("begun", "frame", "heard", "sent")

    def __init__(self, frame: bytes, heard: Heard) -> None:
        self.frame = frame
        self.heard = heard
        self.sent = False
        self.begun = False


class _Line:
    """One process. Prompts that come while it restarts are sent when it is back."""

    def __init__(self, address: str, max_frame_bytes: int) -> None:
        self._address = address
        self._max_frame_bytes = max_frame_bytes
        self._writer: asyncio.StreamWriter | None = None
        """Of a process that has welcomed us."""
        self._texts: dict[int, _Text] = {}
        self._number = 0
        self._task = asyncio.get_running_loop().create_task(self._keep())

    @property
    def load(self) -> int:
        return len(self._texts)

    def start(self, prompt: Prompt, deadline: float, heard: Heard) -> Callable[[], None]:
        self._number += 1
        number = self._number
        self._texts[number] = _Text(frames.generate(number, prompt, deadline), heard)
        self._send()
        return lambda: self._cancel(number)

    def close(self) -> None:
        self._task.cancel()
        self._end(NotReady("this version was unloaded: ask again", retry_after_s=RETRY_S), unsent=True)

    def _cancel(self, number: int) -> None:
        text = self._texts.pop(number, None)
        if text is not None and text.sent and self._writer is not None:
            self._writer.write(frames.control(frames.CANCEL, number))

    def _send(self) -> None:
        if self._writer is None:
            return
        for text in self._texts.values():
            if not text.sent:
                text.sent = True
                self._writer.write(text.frame)

    async def _keep(self) -> None:
        """One connection after another."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_unix_connection(self._address)
                try:
                    await self._listen(reader, writer)
                finally:
                    self._writer = None
                    writer.close()
            self._end(NotReady("the model's process ended before it began: ask again", retry_after_s=RETRY_S))
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the process says goodbye, or nothing more."""
        while True:
            kind, head_bytes, body_bytes, number, _ = frames.HEADER.unpack(await reader.readexactly(frames.HEADER.size))
            if head_bytes + body_bytes > self._max_frame_bytes:
                return
            head = await reader.readexactly(head_bytes + body_bytes)
            if kind == frames.WELCOME:
                self._writer = writer
                self._send()
            elif kind == frames.GOODBYE:
                return
            elif number in self._texts:
                self._heard(self._texts[number], number, kind, head)

    def _heard(self, text: _Text, number: int, kind: int, head: bytes) -> None:
        text.begun = True
        what: Piece | ServableError
        try:
            what = frames.read_piece(head) if kind == frames.PIECE else frames.read_problem(head).error()
        except (frames.BadFrame, TypeError) as error:
            what = ModelFailed(f"the model's process sent {error}")
        if isinstance(what, ServableError) or what.finish:
            del self._texts[number]
        text.heard(what)

    def _end(self, unbegun: ServableError, *, unsent: bool = False) -> None:
        """The process is gone: tell those whose prompts were with it, and with `unsent` all."""
        for number, text in list(self._texts.items()):
            if text.sent or unsent:
                del self._texts[number]
                cut_off = ModelFailed("the model's process ended in the middle of the text")
                text.heard(cut_off if text.begun else unbegun)
