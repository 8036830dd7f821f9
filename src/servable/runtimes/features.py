"""The features of a tree model, and the one matrix it wants, made from whatever inputs its signature has.

Columns are found by name, never by position. A category travels as its text and becomes the number the model was
trained with; one that is absent is missing. Shared by the XGBoost and LightGBM runtimes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import CorruptModel

MATRIX: Final = "input"
"""The name of a matrix input that the model itself does not name."""


class Feature(msgspec.Struct, frozen=True):
    """A feature by name; `categories` are its category texts in the order of their codes, None for a number."""

    name: str
    categories: tuple[str, ...] | None = None


def category_text(value: Any) -> str:
    """A category as text: whole numbers without a decimal point, however they were stored.

    >>> category_text(8.0), category_text("x"), category_text(1.5)
    ('8', 'x', '1.5')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def input_fields(features: Sequence[Feature], datatype: str, *, named: bool) -> tuple[Field, ...]:
    """One matrix where all features are numbers, else one input a feature; every one may be missing.

    `named`: the names are the model's own, not made up.
    """
    if all(feature.categories is None for feature in features):
        names = tuple(feature.name for feature in features) if named else ()
        return (Field(MATRIX, datatype, (-1, len(features)), features=names, values="missing"),)
    return tuple(
        Field(feature.name, datatype, (-1, 1), values="missing")
        if feature.categories is None
        else Field(feature.name, "BYTES", (-1, 1), values="missing", categories=feature.categories)
        for feature in features
    )


def renamed(features: Sequence[Feature], names: Sequence[str] | None) -> tuple[Feature, ...]:
    """The features by other names, in the same order: a file may have lost or changed those of the sample."""
    if names is None:
        return tuple(features)
    if len(names) != len(features):
        raise CorruptModel(f"the manifest names {len(names)} features, the model has {len(features)}: pack it again")
    return tuple(Feature(name, known.categories) for name, known in zip(names, features, strict=True))


def is_missing(value: Any) -> bool:
    """Whether a single value is None or NaN.

    >>> is_missing(float("nan")), is_missing(None), is_missing("")
    (True, True, False)
    """
    return value is None or (isinstance(value, (float, np.floating)) and bool(np.isnan(value)))


class Assembler:
    """Makes the model's matrix, in the model's order, of the inputs of a signature."""

    def __init__(self, bundle: Bundle, features: Sequence[Feature], dtype: type[np.floating[Any]]) -> None:
        self._dtype = np.dtype(dtype)
        self._sources = [_source(bundle, feature, at, len(features)) for at, feature in enumerate(features)]
        self._codes = [
            None if feature.categories is None else {text: float(code) for code, text in enumerate(feature.categories)}
            for feature in features
        ]
        first = self._sources[0][0] if self._sources else ""
        whole = [(first, column) for column in range(len(features))]
        field = bundle.signature.input(first)
        exact = field is not None and field.dtype == self._dtype and not any(code is not None for code in self._codes)
        self._matrix = first if self._sources == whole and exact else None

    def matrix(self, batch: Batch) -> Array:
        """[rows, features] of the model's dtype: the input itself where it has that form already."""
        if self._matrix is not None:
            return batch.columns[self._matrix]
        out = np.empty((batch.rows, len(self._sources)), self._dtype)
        for at, ((name, column), codes) in enumerate(zip(self._sources, self._codes, strict=True)):
            array = batch.columns[name]
            values = array[:, column] if array.ndim > 1 else array
            out[:, at] = values if codes is None else [codes.get(value, np.nan) for value in values.tolist()]
        return out


def _source(bundle: Bundle, feature: Feature, at: int, count: int) -> tuple[str, int]:
    """The input, and the column of it, that holds a feature."""
    signature: Signature = bundle.signature
    for field in signature.inputs:
        if feature.name in field.features:
            return field.name, field.features.index(feature.name)
        if field.name == feature.name and (len(field.shape) == 1 or field.shape[1:] == (1,)):
            return field.name, 0
    only = signature.inputs[0]
    if len(signature.inputs) == 1 and not only.features and only.shape[1:] == (count,):
        return only.name, at
    raise CorruptModel(
        f"the model of bundle {bundle.name!r} needs a feature {feature.name!r}, and no input of its signature has it: "
        f"inputs are {', '.join(repr(field.name) for field in signature.inputs)}. Pack the model again"
    )
