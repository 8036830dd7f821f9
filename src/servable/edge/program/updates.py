"""Updates: looks for newer editions, now and then or when asked, and takes what a trusted key signed, whole or not at
all. An edition is data, never code: model, golden rows, and what they are.
"""

from __future__ import annotations

import errno
import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from servable.edge.program.held import FACTS, Held, held, held_in, shipped
from servable.edge.program.kept import Kept
from servable.edge.program.settings import Settings
from servable.edge.program.signed import NEEDS, File, NotTaken, Update, verified
from servable.errors import DigestMismatch, ServableError

SHIPPED: Final = 0
LOOK_S: Final = 30
FETCH_S: Final = 600
_NEW: Final[dict[str, Any]] = {"current": SHIPPED, "previous": SHIPPED, "newest": 0, "checked": 0.0, "first": 0.0}


class State(NamedTuple):
    """What became of the last look: a word for programs, a sentence for people."""

    update: str = "unknown"
    message: str = "no look for updates yet"


class Editions:
    """The edition that is used, and those kept beside it. `took_up(held)` is told of each that is used from now on."""

    def __init__(self, archive: Path, settings: Settings, kept: Kept, took_up: Callable[[Held], None]) -> None:
        self._archive = archive
        self._settings = settings
        self._kept = kept
        self._took_up = took_up
        self.state = State()
        self._version = ""
        self.known: dict[str, Any] = {**_NEW, "first": time.time(), "bad": [], "disabled": {}}

    def begin(self) -> None:
        """Use what was used last, or what was before it, and at the last what was shipped. Raises ServableError where
        not even that can be opened.
        """
        self.known |= self._kept.state()
        if self.known["current"] < self._settings.sequence:
            self.known |= {"current": SHIPPED, "previous": SHIPPED}
        self._choose()

    def update(self) -> State:
        """Look for an update now, and take it if it holds. What fails changes nothing in use."""
        try:
            self.state = self._renewed()
        except NotTaken as error:
            self.state = State(error.state, error.message)
        except OSError as error:
            self.state = State("unkept", f"nothing can be kept on this machine: {error.strerror or error}")
        return self.state

    def rollback(self) -> State:
        """Go back to the edition before this one, and not take this one again."""
        if self.known["current"] != SHIPPED:
            self.known["bad"].append(self.known["current"])
            self.known |= {"current": self.known["previous"], "previous": SHIPPED}
            now = self._choose()
            self.state = State("rolled-back", f"went back to version {now.facts.version}: it was asked for")
        return self.state

    def _choose(self) -> Held:
        before = self.known["current"]
        sequence, found = self._first((before, self.known["previous"]))
        self.known |= {"current": sequence, "previous": self.known["previous"] if sequence == before else SHIPPED}
        try:
            self._kept.save(self.known)
            if sequence != before:
                self._kept.keep_only([sequence])
        except OSError as error:
            self.state = State("unkept", f"nothing can be kept on this machine: {error.strerror or error}")
        self._took_up(found)
        self._version = found.facts.version
        return found

    def _first(self, sequences: Sequence[int]) -> tuple[int, Held]:
        """The first of these that can be opened and proves itself here; at the last what was shipped."""
        for sequence in dict.fromkeys(sequences):
            if sequence == SHIPPED:
                break
            try:
                return sequence, held_in(self._kept.place(sequence))
            except (ServableError, OSError, ValueError) as error:
                if not isinstance(error, (OSError, DigestMismatch)):
                    self.known["bad"].append(sequence)
                self.state = State("rolled-back", f"the kept edition cannot be used, and one before it is: {error}")
        return SHIPPED, held(self._archive)

    def _renewed(self) -> State:
        known, url = self.known, self._settings.updates
        update = verified(_fetched(f"{url}update.json", LOOK_S), self._settings.trusted)
        name, version, sequence = self._settings.name, update.version, update.sequence
        if update.name != name:
            raise NotTaken("foreign", f"the update is of {update.name!r}, this is {name!r}")
        if sequence < known["newest"]:
            raise NotTaken("stale", "an older update than one that was seen before is offered: it is not taken")
        known |= {"newest": sequence, "checked": time.time(), "disabled": update.disabled}
        self._kept.save(known)
        if update.needs > NEEDS or FACTS not in update.files:
            raise NotTaken(
                "too-new", f"version {version} needs a newer program than this one, or is for another target"
            )
        if version in update.disabled:
            return State("withdrawn", f"version {version} was withdrawn: {update.disabled[version]}")
        if sequence in known["bad"]:
            return State("rejected", f"version {version} failed on this machine before, and is not tried again")
        have = self._files()
        same = have.get(update.files[FACTS].sha256, (None,))[0] == known["current"]
        if same or sequence <= max(known["current"], self._settings.sequence):
            return State("current", f"version {self._version} is the newest")
        found = self._taken(update, {digest: data for digest, (_, data) in have.items()})
        known |= {"current": sequence, "previous": known["current"]}
        self._kept.save(known)  # from here on it is the one
        self._took_up(found)
        self._version = found.facts.version
        self._kept.keep_only([known["current"], known["previous"]])
        return State("installed", f"updated to version {version}")

    def _taken(self, update: Update, have: Mapping[str, bytes]) -> Held:
        """The model of an update, all of its files here, whole and proven. What came before an interruption is used."""
        try:
            for name, part in update.files.items():
                there = self._kept.read(update.sequence, name)
                if there is None or _digest(there) != part.sha256:
                    self._kept.write(update.sequence, name, self._file(name, part, have))
            found = held_in(self._kept.place(update.sequence))
            self._kept.seal(update.sequence)
        except NotTaken as error:
            raise NotTaken(error.state, f"version {update.version} is not taken: {error.message}") from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise NotTaken("no-room", f"version {update.version} is not taken: there is no room for it") from error
            raise
        except (ServableError, ValueError) as error:
            self.known["bad"].append(update.sequence)
            self._kept.keep_only([self.known["current"], self.known["previous"]])
            self._kept.save(self.known)
            raise NotTaken("rejected", f"version {update.version} is not taken: {error}") from error
        return found

    def _file(self, name: str, part: File, have: Mapping[str, bytes]) -> bytes:
        data = have.get(part.sha256)
        if data is None:
            data = _fetched(f"{self._settings.updates}files/{part.sha256}", FETCH_S)
        if len(data) != part.bytes or _digest(data) != part.sha256:
            raise NotTaken("damaged", f"its {name} was cut off or changed on its way")
        return data

    def _files(self) -> dict[str, tuple[int, bytes]]:
        """What is here already, by digest: which edition it is of, and the bytes."""
        found: dict[str, tuple[int, bytes]] = {}
        for sequence in (self.known["previous"], self.known["current"]):
            if sequence == SHIPPED:
                files = shipped(self._archive)
            else:
                place = self._kept.place(sequence)
                files = {path.name: path.read_bytes() for path in place.iterdir()} if place.exists() else {}
            found |= {_digest(data): (sequence, data) for data in files.values()}
        return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _fetched(url: str, most_s: float) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=most_s) as answer:  # noqa: S310 - the export names it, by https or http
            data: bytes = answer.read()
    except (OSError, ValueError) as error:
        raise NotTaken("unreachable", f"{url} cannot be read: {error}") from error
    return data
