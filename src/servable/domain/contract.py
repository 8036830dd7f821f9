"""Contract: whether one version can answer for another. Pure comparisons of signatures; nothing is loaded or run."""

from __future__ import annotations

from typing import Final

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature

_WIDTH: Final = {"finite": 0, "missing": 1, "any": 2}
"""Each takes what the one before takes, and more."""


def breaks(old: Signature, new: Signature) -> list[str]:
    """What callers of the old version would be refused, or would miss in its answers; empty: nothing.

    >>> plain, bounded = (Signature((Field("x", "FP32", low=low),), (Field("y", "FP32"),)) for low in (None, 0.0))
    >>> breaks(bounded, plain), breaks(plain, bounded)
    ([], ["the input 'x' has a lower bound of 0"])
    """
    known = {field.name: field for field in old.inputs}
    told = [
        f"the input {field.name!r} is new, and must be there"
        for field in new.inputs
        if field.name not in known and field.values != "missing"
    ]
    for field in old.inputs:
        own = new.input(field.name)
        told += [
            f"the input {field.name!r} {fault}" for fault in (["is gone"] if own is None else _narrower(field, own))
        ]
    for field in old.outputs:
        own = new.output(field.name)
        if own is None or (own.datatype, own.shape) != (field.datatype, field.shape):
            told.append(f"the output {field.name!r} is {'gone' if own is None else own.describe()}")
    return told


def _narrower(old: Field, new: Field) -> list[str]:
    """What a field does not take any more."""
    told = []
    if new.datatype != old.datatype or not new.fits(old.shape):
        told.append(f"is {new.describe()}, and was {old.describe()}")
    if old.features and new.features != old.features:
        told.append("has no columns of these names" if not new.features else "has columns of other names")
    if _WIDTH[new.values] < _WIDTH[old.values]:
        told.append("takes no missing values" if new.values == "finite" else "takes no infinite values")
    if new.low is not None and (old.low is None or new.low > old.low):
        told.append(f"has a lower bound of {new.low:g}")
    if new.high is not None and (old.high is None or new.high < old.high):
        told.append(f"has an upper bound of {new.high:g}")
    if new.categories and not (old.categories and {*map(str, old.categories)} <= {*map(str, new.categories)}):
        told.append("has fewer categories")
    if new.content and new.content != old.content:
        told.append(f"must hold a {new.content}")
    return told


def stands_in(spare: Signature, asked: Signature) -> bool:
    """Whether a version with the first signature can answer requests that were meant for the second: from what these
    hold, and with all that they are to be answered. Values are another matter: see `handed`.
    """
    inputs = {field.name: field.datatype for field in asked.inputs}
    outputs = {field.name: field.datatype for field in spare.outputs}
    enough = all(inputs.get(field.name, "") == field.datatype or field.values == "missing" for field in spare.inputs)
    return enough and all(outputs.get(field.name) == field.datatype for field in asked.outputs)


def handed(batch: Batch, signature: Signature) -> Batch | None:
    """The batch as a version of this signature takes it, without the inputs that it does not know; None if it does not
    take it.
    """
    names = [field.name for field in signature.inputs if field.name in batch.columns]
    if len(names) < len(batch.columns):
        batch = Batch({name: batch.columns[name] for name in names}, batch.rows, batch.parameters)
    batch = signature.complete(batch)
    return None if signature.check(batch) else batch
