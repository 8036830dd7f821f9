"""Feed: the newest state, given to a log and got from it. It goes whole, or as what changed since the one before it."""

from __future__ import annotations

from typing import Final

from servable.errors import CorruptModel, NotReady
from servable.online.fleet.difference import checked, difference, digest, patched
from servable.online.fleet.states.port import BEGIN, Log, State, Told

WHOLE_EVERY: Final = 50
"""States from one that is whole to the next."""


class Feed:
    """Of one learner. It remembers the last state that it gave, or got: the next is told as what changed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last: State | None = None
        self._place = BEGIN
        self._until_whole = 0

    def publish(self, epoch: int, state: State) -> None:
        """Let all have a state. Raises Conflict if another learns by now."""
        last, self._last = self._last, None  # whatever becomes of this: the next one goes whole, unless it went well
        changed = b"" if last is None else difference(last.body, state.body)
        own = digest(state.body)
        place: str | None = None
        if last is not None and self._until_whole > 0 and 2 * len(changed) <= len(state.body):
            place = self._log.put(epoch, Told(state.offset, state.learned, False, own, changed), self._place)
        self._until_whole -= 1
        if place is None:
            place = self._log.put(epoch, Told(state.offset, state.learned, True, own, state.body), self._place)
            self._until_whole = WHOLE_EVERY
        if place is None:
            raise NotReady("another machine publishes states as well")
        self._last, self._place = state, place

    def forget(self) -> None:
        """Begin anew: the next state that is published goes whole, and the newest there is is fetched."""
        self._last, self._place = None, BEGIN

    def fetch(self) -> State | None:
        """The newest state, if it is not the one that was fetched last. Raises CorruptModel."""
        found = self._log.since(self._place)
        if not found:
            return None
        begin = next((at for at in reversed(range(len(found))) if found[at][1].whole), 0)
        state = self._last
        for _, told in found[begin:]:
            if told.whole:
                body = checked(told.body, told.digest)
            elif state is not None:
                body = self._patched(state, told)
            else:  # it goes on from one that is gone: the next look finds a whole one
                return None
            state = State(told.offset, told.learned, body)
        self._last, self._place = state, found[-1][0]
        return state

    def _patched(self, state: State, told: Told) -> bytes:
        try:
            return patched(state.body, told.body, told.digest)
        except CorruptModel:
            self.forget()  # what came between is not known: from the last whole one on
            raise

    def close(self) -> None:
        """Hang up."""
        self._log.close()
