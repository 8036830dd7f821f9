"""Generation: text that a model makes piece by piece. What it is asked (Prompt), what comes (Piece), and the verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from servable.domain.model import Model

Finish = Literal["", "stop", "length"]
"""Why a text ended: the model or a stop string ended it, or the tokens ran out. Empty: it has not."""


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One turn of a conversation: `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


class Prompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text to be continued, or a conversation to be answered (`messages`, put into the model's own chat template).

    At most `max_tokens` are made; 0: as many as the context holds. `temperature` 0 always takes the likeliest token.
    None of the `stop` strings is part of the answer. Without a `seed` each answer is drawn anew.
    """

    text: str = ""
    messages: tuple[Message, ...] = ()
    max_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Some characters of the answer. The last piece has a `finish`, and tells the tokens read and made in all."""

    text: str
    finish: Finish = ""
    prompt_tokens: int = 0
    tokens: int = 0


Say = Callable[[Piece], bool]
"""Takes a piece, and tells whether to go on. An empty one only asks that, while a long prompt is being read, say."""


@runtime_checkable
class Generator(Model, Protocol):
    """A Model that also makes texts. `slots` prompts at once, each on a thread of its own."""

    slots: int

    def generate(self, prompt: Prompt, say: Say) -> None:
        """Give every piece to `say` as it is made, in order, the last with its `finish`; end early, without one, where
        `say` gives False.

        Raises InvalidInput for what the model cannot read (a prompt longer than its context), ModelFailed.
        """
        ...
