"""Message: one changed row on its way out; and what a sink must do with some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from servable.errors import ServableError, Unavailable


class Message(NamedTuple):
    """`id` is the same each time it is sent, so that whoever gets it twice can tell. `body` is JSON."""

    id: str
    key: str
    body: bytes


class Refused(ServableError):
    """The consumer has looked at a message and does not want it: sending it again will not help."""

    status = 422
    code = "refused"


class NoAnswer(Unavailable):
    """The consumer cannot be reached, or does not answer in time: it may later."""

    code = "no_answer"


class Fails(NoAnswer):
    """The consumer answers, and fails: it may be of all that comes, or of one of the messages alone."""


class Sink(Protocol):
    """Where messages go. One caller at a time."""

    def send(self, messages: Sequence[Message]) -> None:
        """Hand over all of them, in order; they are safe with the consumer when this returns.

        Raises Refused, Fails, NoAnswer; some may have arrived all the same, and come again.
        """
        ...

    def close(self) -> None:
        """Hang up."""
        ...
