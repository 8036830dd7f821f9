"""Twins of scikit-learn's encoders and imputers that convert without loss, and their converters for skl2onnx.

An encoder looks at one column at a time, so all it can ever say about a column is a table: a row for each category, one
for a missing value, one for an unseen one. The rows are asked of the original itself; the converted model looks them
up. Imported only while converting: it needs scikit-learn and skl2onnx.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from skl2onnx.sklapi import CastTransformer
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from servable.domain.batch import Array
from servable.runtimes.features import category_text, is_missing

MAX_CELLS: Final = 1_000_000
"""Numbers in one column's table; an encoder that needs more keeps scikit-learn's own converter."""


class Lookup(OrdinalEncoder):  # type: ignore[misc] # scikit-learn has no types
    """A fitted per-column encoder as tables: for each column the known keys, and a row of numbers for each of them,
    then one for a missing value, then one for an unseen one.
    """

    def __init__(self, keys: list[Array], tables: list[Array], missing: str, double: bool) -> None:
        self.keys = keys
        self.tables = tables
        self.missing = missing
        self.double = double


class Encode(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """An encoder of some columns of a matrix: those first, looked up; then the others as they are."""

    def __init__(self, lookup: Lookup, encoded: list[int], others: list[int], double: bool) -> None:
        self.lookup = lookup
        self.encoded = encoded
        self.others = others
        self.double = double


class Fill(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A fitted imputer of numbers: NaN becomes the column's statistic; `marked` columns add whether they were
    missing.
    """

    def __init__(self, statistics: Array, marked: Array) -> None:
        self.statistics = statistics
        self.marked = marked


def lookup(encoder: Any, missing: str, *, double: bool) -> Any:
    """The Lookup of a OneHotEncoder, OrdinalEncoder or TargetEncoder; the encoder itself where it is too large for
    one.
    """
    tables = []
    for at, known in enumerate(encoder.categories_):
        rows = [*known.tolist(), None, _unseen(known)]
        answers = [_ask(encoder, at, value) for value in rows]
        width = len(next(answer for answer in answers if answer is not None))
        if width * len(rows) > MAX_CELLS:
            return encoder
        blank = np.full(width, np.nan)
        tables.append(np.array([blank if answer is None else answer for answer in answers]))
    keys = [np.asarray(known) for known in encoder.categories_]
    return Lookup(keys, tables, missing, double)


def fill(imputer: Any, missing: str) -> Any:
    """The Fill of a SimpleImputer of numbers; of one of text the same imputer, told what a missing text is."""
    statistics = np.asarray(imputer.statistics_)
    if statistics.dtype == object:
        imputer.missing_values = missing
        texts = np.empty(len(statistics), object)
        texts[:] = [category_text(value) for value in statistics]
        imputer.statistics_ = texts
        return imputer
    absent = imputer.missing_values
    if not (isinstance(absent, float) and np.isnan(absent)) or np.isnan(statistics).any():
        return imputer
    indicator = getattr(imputer, "indicator_", None)
    marked = np.asarray(indicator.features_ if indicator is not None else [], np.int64)
    return Fill(statistics, marked)


def single_precision(estimator: Any) -> Any:
    """The estimator behind a rounding of its input to float32, as it does by itself."""
    return Pipeline([("round", CastTransformer(dtype=np.float32)), ("model", estimator)])


def _unseen(known: Array) -> Any:
    """A value of the same kind that is not among the known."""
    if known.dtype.kind in "iuf":
        return float(np.nanmax(known.astype(float))) + 1.5 if len(known) else 0.5
    return "a value never seen" + "".join(str(value) for value in known[:1])


def _ask(encoder: Any, at: int, value: Any) -> Array | None:
    """What the encoder makes of a value in one column; None where it refuses it."""
    first = [known[0] if len(known) else 0 for known in encoder.categories_]
    row = np.array([first], dtype=object)
    row[0, at] = np.nan if value is None else value
    try:
        whole = encoder.transform(row)
    except (ValueError, TypeError):
        return None
    dense: Array = np.asarray(whole.toarray() if hasattr(whole, "toarray") else whole, np.float64)[0]
    ends = np.cumsum([_width(encoder, place) for place in range(len(first))])
    return dense[int(ends[at] - _width(encoder, at)) : int(ends[at])]


def _width(encoder: Any, at: int) -> int:
    """How many numbers the encoder makes of a column."""
    if hasattr(encoder, "drop_idx_"):
        return int(encoder._n_features_outs[at])
    if hasattr(encoder, "encodings_"):
        return len(encoder.encodings_) // len(encoder.categories_)
    return 1


# ---- converters


def _numbers_type(operator: Any) -> Any:
    return DoubleTensorType if operator.raw_operator.double else FloatTensorType


def _lookup_shape(operator: Any) -> None:
    width = sum(table.shape[1] for table in operator.raw_operator.tables)
    operator.outputs[0].type = _numbers_type(operator)([operator.inputs[0].get_first_dimension(), width])


def _convert_lookup(scope: Any, operator: Any, container: Any) -> None:
    twin: Lookup = operator.raw_operator
    columns: list[tuple[str, Any, int | None]] = []
    for one in operator.inputs:
        width = one.type.shape[1] or len(twin.keys) - len(columns)
        places = range(width) if width > 1 else [None]
        columns.extend((one.full_name, one.type, place) for place in places)
    parts = _looked_up(scope, container, twin, columns)
    container.add_node("Concat", parts, operator.output_full_names, axis=1, op_version=13, name=_name(scope, "Concat"))


def _looked_up(scope: Any, container: Any, twin: Lookup, columns: list[tuple[str, Any, int | None]]) -> list[str]:
    """For each column (tensor, its type, place in it) the tensor of its rows from the table."""
    dtype = TensorProto.DOUBLE if twin.double else TensorProto.FLOAT
    parts = []
    for (tensor, kind, place), keys, table in zip(columns, twin.keys, twin.tables, strict=True):
        column = tensor
        if place is not None:
            column = _node(scope, container, "Gather", [tensor, _constant(scope, container, [place])], axis=1)
        index = _index(scope, container, column, kind, keys, twin.missing)
        flat = _node(scope, container, "Reshape", [index, _constant(scope, container, [-1])])
        rows = scope.get_unique_variable_name("table")
        container.add_initializer(rows, dtype, list(table.shape), table.ravel().tolist())
        parts.append(_node(scope, container, "Gather", [rows, flat], axis=0))
    return parts


def _encode_shape(operator: Any) -> None:
    twin: Encode = operator.raw_operator
    width = sum(table.shape[1] for table in twin.lookup.tables) + len(twin.others)
    operator.outputs[0].type = _numbers_type(operator)([operator.inputs[0].get_first_dimension(), width])


def _convert_encode(scope: Any, operator: Any, container: Any) -> None:
    twin: Encode = operator.raw_operator
    one = operator.inputs[0]
    parts = _looked_up(scope, container, twin.lookup, [(one.full_name, one.type, place) for place in twin.encoded])
    if twin.others:
        rest = _node(scope, container, "Gather", [one.full_name, _constant(scope, container, twin.others)], axis=1)
        dtype = TensorProto.DOUBLE if twin.double else TensorProto.FLOAT
        parts.append(_node(scope, container, "Cast", [rest], to=dtype))
    container.add_node("Concat", parts, operator.output_full_names, axis=1, op_version=13, name=_name(scope, "Concat"))


def _index(scope: Any, container: Any, column: str, kind: Any, keys: Array, missing: str) -> str:
    """The row of a value in its table: its place among the keys, then the missing row, then the unseen one."""
    count = len(keys)
    places = list(range(count))
    attributes: dict[str, Any] = {"default_int64": count + 1}
    if isinstance(kind, StringTensorType):
        absent = [is_missing(value) for value in keys]
        texts = [missing if gone else category_text(value) for value, gone in zip(keys, absent, strict=True)]
        attributes["keys_strings"] = [*texts, *([] if any(absent) else [missing])]
        attributes["values_int64s"] = [*places, *([] if any(absent) else [count])]
    elif isinstance(kind, Int64TensorType):
        attributes |= {"keys_int64s": [int(value) for value in keys], "values_int64s": places}
    else:
        column = _node(scope, container, "Cast", [column], to=TensorProto.FLOAT)
        gone = _node(scope, container, "IsNaN", [column])
        attributes |= {"keys_floats": [float(value) for value in keys if not is_missing(value)]}
        attributes |= {
            "values_int64s": [place for place, value in zip(places, keys, strict=True) if not is_missing(value)]
        }
        found = _label_encoder(scope, container, column, attributes)
        nan_row = next((place for place, value in zip(places, keys, strict=True) if is_missing(value)), count)
        return _node(scope, container, "Where", [gone, _constant(scope, container, [nan_row]), found])
    return _label_encoder(scope, container, column, attributes)


def _label_encoder(scope: Any, container: Any, column: str, attributes: dict[str, Any]) -> str:
    return _node(scope, container, "LabelEncoder", [column], domain="ai.onnx.ml", version=2, **attributes)


def _fill_shape(operator: Any) -> None:
    twin: Fill = operator.raw_operator
    kind = DoubleTensorType if isinstance(operator.inputs[0].type, DoubleTensorType) else FloatTensorType
    width = len(twin.statistics) + len(twin.marked)
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), width])


def _convert_fill(scope: Any, operator: Any, container: Any) -> None:
    twin: Fill = operator.raw_operator
    wide = isinstance(operator.inputs[0].type, DoubleTensorType)
    dtype = TensorProto.DOUBLE if wide else TensorProto.FLOAT
    names = [_node(scope, container, "Cast", [one.full_name], to=dtype) for one in operator.inputs]
    whole = names[0] if len(names) == 1 else _node(scope, container, "Concat", names, axis=1)
    statistics = scope.get_unique_variable_name("statistics")
    container.add_initializer(statistics, dtype, [1, len(twin.statistics)], twin.statistics.astype(float).tolist())
    gone = _node(scope, container, "IsNaN", [whole])
    parts = [_node(scope, container, "Where", [gone, statistics, whole])]
    if len(twin.marked):
        places = _constant(scope, container, twin.marked.tolist())
        chosen = _node(scope, container, "Gather", [gone, places], axis=1)
        parts.append(_node(scope, container, "Cast", [chosen], to=dtype))
    container.add_node("Concat", parts, operator.output_full_names, axis=1, op_version=13, name=_name(scope, "Concat"))


_VERSIONS: Final = {"Gather": 13, "Reshape": 13, "Cast": 13, "IsNaN": 13, "Where": 9, "Concat": 13}


def _node(
    scope: Any, container: Any, kind: str, inputs: list[str], domain: str = "", version: int | None = None, **how: Any
) -> str:
    """A node with one output, whose name is returned."""
    output = str(scope.get_unique_variable_name(kind.lower()))
    version = _VERSIONS[kind] if version is None else version
    container.add_node(kind, inputs, [output], op_domain=domain, op_version=version, name=_name(scope, kind), **how)
    return output


def _name(scope: Any, kind: str) -> str:
    return str(scope.get_unique_operator_name(kind))


def _constant(scope: Any, container: Any, values: list[int]) -> str:
    name = str(scope.get_unique_variable_name("constant"))
    container.add_initializer(name, TensorProto.INT64, [len(values)], values)
    return name


update_registered_converter(Lookup, "ServableLookup", _lookup_shape, _convert_lookup)
update_registered_converter(Encode, "ServableEncode", _encode_shape, _convert_encode)
update_registered_converter(Fill, "ServableFill", _fill_shape, _convert_fill)
