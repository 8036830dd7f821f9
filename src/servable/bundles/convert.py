"""Conversion of a fitted estimator to ONNX: several attempts, plainest first, none of them trusted until it is proven.

An attempt differs from the next in how its inputs arrive (one matrix, or one input a column) and in the precision of
its numbers. float32 is what clients send and what most trees compare in; float64 is for models that compute in it.
Imported only while packing: it needs skl2onnx.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.infer import column_fields, matrix_field
from servable.bundles.sample import Table, is_frame
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.errors import ConversionRejected, MissingExtra

OPSET: Final = {"": 17, "ai.onnx.ml": 3}
"""Old enough for every onnxruntime in use, new enough for every converter."""


class Attempt(msgspec.Struct, frozen=True):
    """A way to convert: the inputs, and whether floats are float64."""

    name: str
    inputs: tuple[Field, ...]
    double: bool


def attempts(table: Table, *, by_column: bool) -> Iterator[Attempt]:
    """The ways that make sense for a sample, plainest first. `by_column`: the model can take one input a column."""
    for double in (False, True):
        datatype = "FP64" if double else "FP32"
        matrix = matrix_field(table, datatype)
        if matrix is not None:
            yield Attempt(f"one {datatype} matrix", (matrix,), double)
    if is_frame(table) and by_column:
        for double in (False, True):
            datatype = "FP64" if double else "FP32"
            yield Attempt(f"{datatype} columns", column_fields(table, datatype), double)


def to_onnx(estimator: Any, attempt: Attempt, columns: tuple[str, ...], expected: Batch, inputs: Batch) -> bytes:
    """The estimator as an ONNX file whose outputs have the names and axes of `expected`, its answer to `inputs`.

    Raises ConversionRejected (with the converter's reason), MissingExtra.
    """
    try:
        from servable.bundles import adapt, onnx_outputs, tree_converters
    except ImportError as error:
        raise MissingExtra("pack", "convert a model to ONNX", missing=error.name) from error
    tree_converters.register()
    matrix = (len(attempt.inputs) == 1 and attempt.inputs[0].shape[1:] != (1,)) or not columns
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            names = columns if matrix else safe_names(attempt.inputs)
            ready = adapt.adapt(estimator, columns, names, by_position=matrix, double=attempt.double)
            proto = _converted(ready, attempt, type(adapt.final(estimator)).__name__)
            return onnx_outputs.fit(proto, adapt.final(ready), expected, inputs, double=attempt.double)
    except Exception as error:  # a wall: converters raise anything for what they do not know
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ConversionRejected(f"{attempt.name}: {first}") from error


def safe_names(inputs: tuple[Field, ...]) -> tuple[str, ...]:
    """Names that skl2onnx leaves as they are; the true ones are given back to the finished graph."""
    return tuple(f"column{at}" for at in range(len(inputs)))


def _type(field: Field) -> Any:
    from skl2onnx.common import data_types

    kinds = {"FP32": "Float", "FP64": "Double", "INT64": "Int64", "BOOL": "Boolean", "BYTES": "String"}
    return getattr(data_types, f"{kinds[field.datatype]}TensorType")([None, field.shape[1]])


def _converted(ready: Any, attempt: Attempt, name: str) -> Any:
    """skl2onnx's graph; of a classifier with its probabilities as a plain matrix, where it has that option."""
    from skl2onnx import convert_sklearn

    from servable.bundles.adapt import final

    types = [(name, _type(field)) for name, field in zip(safe_names(attempt.inputs), attempt.inputs, strict=True)]
    for options in ({"zipmap": False}, {"nocl": False}):  # the second says nothing, for a converter without the first
        try:
            chosen = {id(final(ready)): options}
            return convert_sklearn(ready, name=name, initial_types=types, target_opset=OPSET, options=chosen)
        except NameError:
            continue
    return convert_sklearn(ready, name=name, initial_types=types, target_opset=OPSET)
