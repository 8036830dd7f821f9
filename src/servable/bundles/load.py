"""A model in this process: from a bundle or a model file to something that predicts tables.

For notebooks, scripts and bulk jobs; a server goes through the engine instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from servable.bundles.guard import guard_of
from servable.bundles.opened import Opened
from servable.bundles.sample import is_frame
from servable.bundles.tables import to_batch, to_frame
from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.signature import Signature
from servable.errors import InvalidInput, ModelFailed, NotFound
from servable.rules.guard import Guarded
from servable.rules.handover import FARTHEST, conformed, taken_by
from servable.rules.whole import Answered


class Predictor:
    """A loaded bundle. Closes with `close()` or at the end of a `with` block."""

    def __init__(self, opened: Opened, find: Callable[[str], Predictor] | None = None) -> None:
        """`find` loads what a Ref names, for rules that hand rows over."""
        self.bundle, self._model, self.sandbox = opened
        """`sandbox`: the layers around its process; none where the model is data, and open in this one."""
        self._guard = guard_of(self.bundle)
        self._find = find
        self._others: dict[str, Predictor] = {}
        self._distance = 0
        """How often the rows that come here were handed over."""

    @property
    def name(self) -> str:
        return self.bundle.name

    @property
    def model(self) -> Model:
        """The model itself, without rules."""
        return self._model

    @property
    def signature(self) -> Signature:
        """Names, datatypes and shapes of inputs and outputs."""
        return self.bundle.signature if self._guard is None else self._guard.signature

    def predict(self, inputs: Any) -> Any:
        """Answers to a DataFrame (as a DataFrame with the same index); to a list of rows (`{column: value}`), a
        matrix or `{input name: array}` (as `{output name: array}`).

        Columns are found by name; a column that may be missing can be absent. Raises InvalidInput with every fault.
        """
        if isinstance(inputs, Mapping):
            return dict(self.predict_batch(_batch(inputs, self.signature)).columns)
        table = _frame_of_rows(inputs) if _is_rows(inputs) else inputs
        answer = self.predict_batch(to_batch(table, self.signature))
        return to_frame(answer, self.signature, inputs) if is_frame(inputs) else dict(answer.columns)

    def predict_batch(self, batch: Batch) -> Batch:
        """The answer to a batch, both held against the signature; its parameters tell which rules fired. Raises
        InvalidInput, Refused, ModelFailed.
        """
        return self.guarded(batch).answer

    def guarded(self, batch: Batch, *, lenient: bool = False) -> Guarded:
        """The same with the rules that fired; where `lenient`, refused rows are left without an answer instead."""
        batch = self.signature.complete(batch)
        if faults := self.signature.check(batch):
            told = list(map(str, faults))
            example = {name: array.tolist() for name, array in self.signature.example().columns.items()}
            raise InvalidInput(f"the input breaks the contract: {'; '.join(told)}", faults=told, example=example)
        if self._guard is None:
            return Guarded(self._answer(batch), (), np.empty(0, np.intp))
        return self._guard.answer(batch, self._answer, self._hand_over, lenient=lenient)

    def _answer(self, batch: Batch) -> Batch:
        answer = self._model.predict(batch)
        if faults := self.bundle.signature.check_outputs(answer):
            raise ModelFailed(f"the answer of {self.name!r} breaks its own contract: {'; '.join(map(str, faults))}")
        return answer

    def _hand_over(self, ref: str, batch: Batch) -> Answered:
        """The answer of another model to rows that a rule hands over."""
        if ref not in self._others:
            if self._find is None:
                raise NotFound(f"a rule of {self.name!r} hands rows over to {ref!r}: load it by name from a registry")
            if self._distance >= FARTHEST:
                raise ModelFailed(f"rules hand rows over in a circle, the last time to {ref!r}")
            self._others[ref] = self._find(ref)
            self._others[ref]._distance = self._distance + 1
        other = self._others[ref]
        answer = other.predict_batch(taken_by(other.signature, batch, self.signature))
        return Answered(conformed(answer, self.bundle.signature, ref), ref)

    def close(self) -> None:
        """Give back the memory of the model, and of those that rows were handed to."""
        for other in self._others.values():
            other.close()
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        inputs = ", ".join(f"{field.name} {field.describe()}" for field in self.signature.inputs)
        return f"Predictor({self.name!r}, {self.bundle.manifest.format}; {inputs})"


def load(
    source: Path | str,
    *,
    device: str = "cpu",
    find: Callable[[str], Predictor] | None = None,
    environments: Path | None = None,
) -> Predictor:
    """Load a bundle's folder or a model file, verified and held against its golden rows. `find` loads what a Ref names,
    for rules that hand rows over; `environments` as in `open_model`.

    Raises NotFound, BundleError and what is below it, MissingExtra, EnvironmentFault.
    """
    from servable.bundles.open_model import open_model

    if not Path(source).expanduser().exists():
        raise NotFound(f"there is no bundle or model file at {str(source)!r}")
    return Predictor(open_model(Path(source).expanduser(), environments, device=device), find)


def _is_rows(inputs: Any) -> bool:
    return isinstance(inputs, (list, tuple)) and bool(inputs) and all(isinstance(row, Mapping) for row in inputs)


def _frame_of_rows(rows: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(list(rows))


def _batch(inputs: Mapping[str, Any], signature: Signature) -> Batch:
    """Arrays and lists by input name, as the batch the signature describes."""
    fields = signature.named
    columns = {name: _array(value, fields.get(name)) for name, value in inputs.items()}
    if not signature.batched:
        return Batch(columns, 1)
    counts = {name: len(array) if array.ndim else 0 for name, array in columns.items()}
    if len(set(counts.values())) > 1:
        raise InvalidInput(f"the inputs differ in their number of rows: {counts}")
    return Batch(columns, next(iter(counts.values()), 0))


def _array(value: Any, field: Field | None) -> Array:
    """The value as the field's dtype where that loses nothing; a flat list of rows fits a column [rows, 1]."""
    if (
        field is not None
        and type(value) is np.ndarray
        and value.dtype == field.dtype
        and value.ndim == len(field.shape)
    ):
        return value
    array = np.asarray(value, object) if field is not None and field.datatype == "BYTES" else np.asarray(value)
    if field is None:
        return array
    if array.ndim == 1 and field.shape == (-1, 1):
        array = array.reshape(-1, 1)
    if array.dtype == object and field.dtype.kind == "f":
        try:
            array = array.astype(field.dtype)  # None is NaN
        except (TypeError, ValueError):
            return array
    if array.dtype != field.dtype and np.can_cast(array.dtype, field.dtype, "same_kind"):
        return _cast(array, field)
    return _cast(array, field) if array.dtype.kind in "iu" and field.dtype.kind in "fiu" else array


def _cast(array: Array, field: Field) -> Array:
    """Raises InvalidInput for whole numbers that the datatype has no room for, which a cast would turn into others."""
    cast = array.astype(field.dtype)
    if field.dtype.kind in "iu" and not np.array_equal(cast, array):
        raise InvalidInput(
            f"input {field.name!r}: expected numbers that fit {field.datatype}, got {array[cast != array].ravel()[0]}"
        )
    return cast
