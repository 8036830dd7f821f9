"""Files in a folder: one for each group of messages, lines of JSON, whole or not there. Their names are in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from servable.errors import EnvironmentFault
from servable.offline.push.message import Message, NoAnswer
from servable.offline.whole import write_whole


class FilesIn:
    """A `Sink`. A group that comes again replaces its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, messages: Sequence[Message]) -> None:
        table, generation, number = messages[0].id.split("/")
        name = f"{table}-{int(generation):08d}-{int(number):012d}.jsonl"
        try:
            write_whole(self._folder / name, b"".join([message.body + b"\n" for message in messages]))
        except EnvironmentFault as error:
            raise NoAnswer(error.message) from error

    def close(self) -> None:
        """Nothing is open."""
