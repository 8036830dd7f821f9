"""Said: the fact of one text as a Record, so that what watches predictions watches texts as well."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import NamedTuple

import msgspec
import numpy as np

from servable.domain.batch import Batch
from servable.domain.generation import Piece, Prompt
from servable.domain.record import Records


class Said(NamedTuple):
    """A text that is over: who asked, for what, what was said, and the last piece, with its counts.

    `first_s` are the seconds until the first piece, `whole_s` those until the end; `code` is that of the error which
    ended it, if one did.
    """

    id: str
    prompt: Prompt
    text: str
    last: Piece
    first_s: float
    whole_s: float
    code: str = ""


OnSaid = Callable[[Said], None]


def recorder(name: str, version: str, on_record: Callable[[Records], None]) -> OnSaid:
    """Hands each text of this version on as a Record of one row. A conversation is recorded as JSON."""

    def on_said(said: Said) -> None:
        prompt = said.prompt
        asked = msgspec.json.encode(prompt.messages).decode() if prompt.messages else prompt.text
        answer = {
            "text": np.array([said.text], object),
            "prompt_tokens": np.array([said.last.prompt_tokens]),
            "tokens": np.array([said.last.tokens]),
        }
        on_record(
            Records(
                name,
                version,
                time(),
                said.whole_s - said.first_s,
                (said.id,),
                (0,),
                (1,),
                (said.first_s,),
                Batch({"prompt": np.array([asked], object)}),
                None if said.code else Batch(answer),
                said.code,
            )
        )

    return on_said
