"""OpenAI's embeddings: texts read into a Batch for any model that makes one vector of each text. Pure.

Which models do is told by their Signature: one input of text, one output with a row of numbers for each.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from servable.domain.batch import Batch
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput
from servable.wire.openai import decode

MOST_TEXTS: Final = 2048
TOKENS: Final = "tokens"
"""An output of this name tells how many tokens each text had."""
EMBEDDINGS: Final = {"model": "NAME", "input": ["a text", "another"]}
"""A body that works, with the name of a model."""

Text = Annotated[str, msgspec.Meta(min_length=1)]


class Asked(msgspec.Struct, frozen=True):
    """`POST /v1/embeddings`."""

    model: str
    input: Text | Annotated[list[Text], msgspec.Meta(min_length=1, max_length=MOST_TEXTS)]
    encoding_format: Literal["float", "base64"] | None = None


class Vectors(NamedTuple):
    """The fields of a Signature that embeds."""

    text: Field
    vector: Field


def asked_of(body: bytes) -> Asked:
    """Read the body. Raises InvalidInput."""
    return decode(body, Asked, EMBEDDINGS)


def vectors_of(signature: Signature) -> Vectors | None:
    """The text that goes in and the vector that comes out; None for a model that does something else."""
    texts = [field for field in signature.inputs if field.datatype == "BYTES" and field.shape == (-1,)]
    found = [field for field in signature.outputs if field.datatype in FLOATS and len(field.shape) == 2]
    if not signature.batched or len(signature.inputs) != 1 or not texts or len(found) != 1:
        return None
    return Vectors(texts[0], found[0])


def batch_of(asked: Asked, fields: Vectors, signature: Signature) -> Batch:
    """The texts as rows. Raises InvalidInput for what the Signature refuses."""
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    batch = Batch({fields.text.name: np.array(texts, object)})
    faults = [str(fault) for fault in signature.check(batch)]
    if faults:
        raise InvalidInput("; ".join(faults), faults=faults)
    return batch


def encode(answer: Batch, asked: Asked, fields: Vectors, named: dict[str, Any]) -> dict[str, Any]:
    """The answer: numbers, or their little-endian bytes in base 64, as the official clients ask."""
    vectors = np.asarray(answer[fields.vector.name], "<f4")
    as_text = asked.encoding_format == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode() if as_text else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    told = {"object": "list", "data": data, **named}
    if TOKENS in answer:
        count = int(answer[TOKENS].sum())
        told["usage"] = {"prompt_tokens": count, "total_tokens": count}
    return told
