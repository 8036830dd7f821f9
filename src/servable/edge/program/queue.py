"""Queue: what was answered on this machine, and what became of it, until the server has it on its disk. Of answers a
share is kept, and of their inputs the columns that may leave; what waits is bounded, and the oldest answers go first.
"""

from __future__ import annotations

import errno
import json
import random
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, Final

from servable.edge.program.kept import put
from servable.edge.program.settings import Settings
from servable.errors import EnvironmentFault

AT_ONCE: Final = 100
WAIT_S: Final = 30
NEVER: Final = frozenset({400, 413, 422})
"""A server that says so will never take these: they are dropped."""
MOST_ID: Final = 128
PART: Final = 10
"""Where there is no room, one of so many answers makes some."""
_ENTRY: Final = re.compile(r"\d+-\d+-(records|outcomes)-.*\.json")


class Queue:
    """Of one folder: a file for each entry, named in the order in which they came, and by what it is."""

    def __init__(self, settings: Settings, folder: Path, key: str = "") -> None:
        self._settings = settings
        self._folder = folder
        self._base = f"{settings.server}v2/models/{settings.name}/"
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._chance = random.Random()  # noqa: S311 - a sample, no secret
        self._added = count()
        self._sending = Lock()

    def keep(self, id: str, version: str, rows: Sequence[Mapping[str, Any]], told: Any, error: str = "") -> None:
        """Keep an answer (`told` are its rows), or the code of a refusal, if it is in the share and there is room."""
        share = self._settings.share
        if len(id) > MOST_ID or self._chance.random() >= share:
            return
        columns = self._settings.columns
        inputs = [{name: row[name] for name in columns if name in row} for row in rows]
        entry = {"id": id, "version": version, "time": time.time(), "inputs": inputs, "outputs": told, "error": error}
        try:
            self._add("records", entry | {"share": share})
        except OSError:
            return  # nobody was promised that it is kept

    def tell(self, id: str, outcome: Any, at: float, version: int) -> None:
        """Keep an outcome. On the disk when this returns. Raises EnvironmentFault where there is no room."""
        try:
            self._add("outcomes", {"id": id, "outcome": outcome, "time": at or time.time(), "version": version})
        except OSError as error:
            raise EnvironmentFault(
                f"there is no room for the outcome of {id!r} ({error.strerror or error}): it is not kept; tell it again"
            ) from error

    def send(self) -> int:
        """Send what waits; how many entries still do. What the server has not acknowledged stays."""
        with self._sending:
            for kind, path in (("records", "records"), ("outcomes", "feedback")):
                while names := self._names(kind)[:AT_ONCE]:
                    if not self._post(kind, path, names):
                        return len(self._names())
        return len(self._names())

    def _add(self, kind: str, entry: Mapping[str, Any]) -> None:
        name = f"{time.time_ns() // 1_000_000:015}-{next(self._added):09}-{kind}-{uuid.uuid4().hex}.json"
        data = json.dumps(entry, allow_nan=False).encode()
        try:
            put(self._folder, name, data)
        except OSError as error:
            answers = self._names("records")
            if error.errno != errno.ENOSPC or not answers:
                raise
            self._drop(answers[: -(-len(answers) // PART)])
            put(self._folder, name, data)
        over = len(self._names()) - self._settings.most
        if over > 0:
            self._drop(self._names("records")[:over])

    def _post(self, kind: str, path: str, names: Sequence[str]) -> bool:
        """Whether the server has them, or never will."""
        entries = [json.loads((self._folder / name).read_bytes()) for name in names]
        body = json.dumps({kind: entries}).encode()
        request = urllib.request.Request(f"{self._base}{path}", body, self._headers)  # noqa: S310 - the export names it
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S):  # noqa: S310 - as above
                pass
        except urllib.error.HTTPError as error:
            if error.code not in NEVER:
                return False
        except (OSError, ValueError):
            return False  # no network: later
        self._drop(names)
        return True

    def _names(self, kind: str = "") -> list[str]:
        found = (path.name for path in self._folder.iterdir()) if self._folder.exists() else ()
        return sorted(name for name in found if (fits := _ENTRY.fullmatch(name)) and kind in {"", fits[1]})

    def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)
