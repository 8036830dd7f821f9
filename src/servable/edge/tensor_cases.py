"""What a proof asks in tensors, as `infer` takes them: golden tensors, others of their shapes, and such as break the
contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from servable.bundles.golden import golden_rows
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.edge.javascript import plain

Body = dict[str, Any]

MADE: Final = ("zero", "random", "negative", "extreme", "missing")
FAR: Final = 1e3
_WRONG: Final[tuple[Any, ...]] = ("text", None, True, [], [[1], [2, 3]], {"a": 1}, [1e39], [None, "x"], 1.5)


def tensors(bundle: Bundle, signature: Signature) -> Iterator[Body]:
    """The bodies."""
    golden = golden_rows(bundle)
    base = signature.example() if golden is None else golden.slice(0, 2) if signature.batched else golden
    yield tensors_of(base, signature)
    if signature.batched:
        yield tensors_of(base.slice(0, 0), signature)
    if not signature.batched:
        random = np.random.default_rng(0)
        for kind in MADE:
            made = {field.name: _made(base[field.name], field, kind, random) for field in signature.inputs}
            yield tensors_of(Batch(made, base.rows), signature)
    yield from ({"inputs": part} for part in _broken(tensors_of(base, signature)["inputs"]))


def tensors_of(batch: Batch, signature: Signature) -> Body:
    """A batch as the body of a request."""
    return {
        "inputs": [
            {
                "name": field.name,
                "datatype": field.datatype,
                "shape": list(batch[field.name].shape),
                "data": plain(batch[field.name].ravel().tolist()),
            }
            for field in signature.inputs
        ]
    }


def _made(array: Array, field: Field, kind: str, random: np.random.Generator) -> Array:
    """Values of another kind in the shape of a known array; what is no float, or has no axes, stays."""
    if field.datatype not in FLOATS or not array.ndim:
        return array
    values: dict[str, Array] = {
        "zero": np.zeros_like(array),
        "random": np.asarray(random.standard_normal(array.shape)),
        "negative": np.negative(array),
        "extreme": np.where(random.random(array.shape) < 0.1, FAR, array),
        "missing": np.where(random.random(array.shape) < 0.1, np.nan, array),
    }
    return np.asarray(values[kind], array.dtype)


def _broken(good: list[Body]) -> Iterator[Any]:
    """Tensors that break the contract, and some that only look as if they did."""
    first, *others = good
    yield from (None, "text", [], [None], [{}], [{"name": 3}], good[:1], [*good, first])
    yield [*good, {**first, "name": "a tensor of nobody"}]
    changes: list[Body] = [
        *({"datatype": value} for value in ("FP8", None, "FP64", "BYTES", "BOOL")),
        *({"shape": value} for value in (None, [-1], [1.5], [1] * 33, [2**26], [], [0])),
        {"shape": [*first["shape"], 1]},
        {"shape": [1, *first["shape"]]},
        {"data": [first["data"]]},
        *({"data": value} for value in _WRONG),
    ]
    for changed in changes:
        yield [{**first, **changed}, *others]
    yield [{name: value for name, value in first.items() if name != "data"}, *others]
