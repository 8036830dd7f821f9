"""Answers about single tokens, by transformers' own pipelines: the entities in a text, and what belongs in a gap of it.

An answer is as long as it is: it comes as JSON, a text for each row, as the pipeline writes it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.errors import InvalidInput
from servable.runtimes.huggingface.folder import Folder
from servable.runtimes.huggingface.task import Ask, Loaded, Task, texts

TOGETHER: Final = 16
TOP: Final = 5


def _entities(loaded: Loaded, _: Folder) -> Ask:
    """Option `aggregation`: `simple` joins the tokens of an entity; or `none`, `first`, `average`, `max`."""
    asked = loaded.transformers.pipeline(
        "token-classification",
        model=loaded.model,
        tokenizer=loaded.prepare,
        aggregation_strategy=str(loaded.options.get("aggregation", "simple")),
    )

    def ask(batch: Batch) -> dict[str, Array]:
        found = asked(texts(batch, "text"), batch_size=TOGETHER)
        return {"entities": np.array([as_json(each) for each in found], object)}

    return ask


def _gaps(loaded: Loaded, _: Folder) -> Ask:
    """Option `top`: how many candidates are told."""
    asked = loaded.transformers.pipeline("fill-mask", model=loaded.model, tokenizer=loaded.prepare)
    top = int(loaded.options.get("top", TOP))
    mask = str(loaded.prepare.mask_token)

    def one(text: str) -> tuple[str, str]:
        if (gaps := text.count(mask)) > 1:
            raise InvalidInput(f"'text': expected one {mask} in a text, got {gaps}: {text[:80]!r}")
        if not gaps:  # nothing is to be filled
            return text, "[]"
        found = asked(text, top_k=top)
        return str(found[0]["sequence"]), as_json(found)

    def ask(batch: Batch) -> dict[str, Array]:
        filled, candidates = zip(*map(one, texts(batch, "text")), strict=True)
        return {"filled": np.array(filled, object), "candidates": np.array(candidates, object)}

    return ask


def as_json(value: Any) -> str:
    """An answer of a pipeline as JSON: numbers of numpy's and torch's as plain ones."""
    return msgspec.json.encode(value, enc_hook=lambda number: number.item()).decode()


TASKS: Final = {
    "token-classification": Task(
        "AutoModelForTokenClassification", (Field("text", "BYTES"),), lambda _: (Field("entities", "BYTES"),), _entities
    ),
    "fill-mask": Task(
        "AutoModelForMaskedLM",
        (Field("text", "BYTES"),),
        lambda _: (Field("filled", "BYTES"), Field("candidates", "BYTES")),
        _gaps,
    ),
}
