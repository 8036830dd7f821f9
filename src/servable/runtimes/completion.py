"""Rows of prompts, completed one by one by a model that makes texts: what every such model's `predict` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.generation import Piece, Prompt, Say
from servable.domain.signature import Signature
from servable.errors import InvalidInput

TOKENS: Final = 16
"""What a row gets that asks for no number of tokens: the protocols' own default."""
PARAMETERS: Final = ("max_tokens", "temperature", "top_p", "seed")
"""What a batch may say of how its rows are completed."""
INPUTS: Final = (Field("prompt", "BYTES"),)
OUTPUTS: Final = (Field("text", "BYTES"), Field("prompt_tokens", "INT64"), Field("tokens", "INT64"))
SIGNATURE: Final = Signature(INPUTS, OUTPUTS)

Generate = Callable[[Prompt, Say], None]


def completed(generate: Generate, batch: Batch, max_tokens: int) -> Batch:
    """Each row's prompt is completed by itself: what is made does not depend on its neighbours. `max_tokens`: of a row
    that does not say. Raises InvalidInput, ModelFailed.
    """
    said = dict(batch.parameters or {})
    chosen: dict[str, Any] = {name: said[name] for name in PARAMETERS if name in said}
    chosen = {"max_tokens": max_tokens, "temperature": 0.0} | chosen
    made = [_one(generate, str(text), chosen) for text in batch["prompt"].reshape(-1).tolist()]
    columns = {
        "text": np.array([text for text, _, _ in made], object),
        "prompt_tokens": np.array([read for _, read, _ in made], np.int64),
        "tokens": np.array([tokens for _, _, tokens in made], np.int64),
    }
    return Batch(columns, batch.rows)


def _one(generate: Generate, text: str, chosen: dict[str, Any]) -> tuple[str, int, int]:
    pieces: list[Piece] = []

    def say(piece: Piece) -> bool:
        pieces.append(piece)
        return True

    try:
        prompt = Prompt(text, **chosen)
    except TypeError as error:
        raise InvalidInput(f"the request's parameters: {error}") from error
    generate(prompt, say)
    last = pieces[-1]
    return "".join(piece.text for piece in pieces), last.prompt_tokens, last.tokens
