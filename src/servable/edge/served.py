"""What the server answers to a body of rows: the same codec, rules and model as behind a door, in this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson

from servable.bundles.load import Predictor
from servable.errors import ServableError
from servable.wire.open_inference import Codec

Told = dict[str, Any]
"""The body of an answer, or of a refusal."""


def answers(predictor: Predictor, version: str, bodies: Iterable[Any]) -> list[Told]:
    """The answer, or the refusal, to each body."""
    codec = Codec(predictor.signature, predictor.name, version, predictor.bundle.manifest.labels)
    with np.errstate(over="ignore"):  # numbers too large for their datatype are among what is asked
        return [_answer(predictor, codec, body) for body in bodies]


def _answer(predictor: Predictor, codec: Codec, body: Any) -> Told:
    try:
        inquiry = codec.decode(orjson.dumps(body))
        told: Told = orjson.loads(codec.encode("", predictor.predict_batch(inquiry.batch), inquiry)[0])
    except ServableError as error:
        told = error.body()
    return told
