"""A PyTorch module as a Model: named tensors in and out, by a contract that a sample of arrays teaches.

Shared by the formats that do not say what they take: TorchScript, and safetensors with a module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS, datatype_of
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import IncompatibleModel, MissingExtra, ModelFailed, UsageError
from servable.runtimes.features import MATRIX
from servable.runtimes.rows import probe

Call = Callable[[Mapping[str, Array]], dict[str, Array]]


def pytorch(name: str) -> Any:
    """The library, on one thread a call. Raises MissingExtra."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("pytorch", f"load {name!r}", missing=error.name) from error
    torch.set_num_threads(1)
    return torch


def call_of(torch: Any, module: Callable[..., Any], fixed: Mapping[str, Any]) -> Call:
    """The module as a function of named arrays. `fixed`: arguments that are the same in every call."""

    def call(columns: Mapping[str, Array]) -> dict[str, Array]:
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in columns.items()}
        with torch.inference_mode():
            answer = module(**tensors, **fixed)
        return {name: _array(name, value) for name, value in _named(answer).items()}

    return call


def taught(rows: Batch, arguments: list[str], name: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """The sample as arrays by argument, and those of its values that have no axes, as arguments that stay the same.

    A sample that is a table goes into the first argument, as float32. Raises UsageError for names that no argument has.
    """
    columns = dict(rows.columns)
    if set(columns) == {MATRIX} and MATRIX not in arguments and arguments:
        columns = {arguments[0]: columns[MATRIX].astype(np.float32)}
    if strange := sorted(set(columns) - set(arguments)):
        raise UsageError(f"{name!r} has no argument {strange[0]!r}: it takes {', '.join(arguments)}")
    fixed = {key: array.item() for key, array in columns.items() if not array.ndim}
    return {key: array for key, array in columns.items() if array.ndim}, fixed


def contract(call: Call, sample: Mapping[str, Array], name: str) -> Signature:
    """Inputs as the sample has them, outputs as the answer to it has. Rows are joined where predicting them apart and
    together is seen to be equal. Raises UsageError where the model refuses the sample.
    """
    for joined in (True, False):
        inputs = tuple(_field(key, array, joined=joined) for key, array in sample.items())
        if joined and (any(not array.ndim for array in sample.values()) or not _independent(call, inputs)):
            continue
        try:
            answer = call(sample)
        except Exception as error:
            reason = " ".join(str(error).split())[-300:]
            raise UsageError(f"{name!r} does not answer the sample: {reason}") from error
        outputs = tuple(_field(key, array, joined=joined) for key, array in answer.items())
        return Signature(inputs, outputs, joined)
    raise AssertionError("unreachable")


class TensorModel:
    """A call as a Model, one at a time."""

    concurrent = False

    def __init__(self, call: Call, signature: Signature) -> None:
        self._call: Call | None = call
        self._signature = signature

    def predict(self, batch: Batch) -> Batch:
        if self._call is None:
            raise ModelFailed("the model is closed")
        if not batch.rows:
            return self.predict(self._signature.example()).slice(0, 0)
        try:
            found = self._call(batch.columns)
        except Exception as error:
            raise ModelFailed(f"torch: {' '.join(str(error).split())[-400:]}") from error
        return Batch({field.name: found[field.name] for field in self._signature.outputs}, batch.rows)

    def close(self) -> None:
        self._call = None


def _independent(call: Call, inputs: tuple[Field, ...]) -> bool:
    seen = probe(call, inputs, batched=True)
    return seen is not None and seen.independent


def _field(name: str, array: Array, *, joined: bool) -> Field:
    datatype = datatype_of(array.dtype)
    shape = (-1, *array.shape[1:]) if joined else array.shape
    return Field(name, datatype, shape, values="any" if datatype in FLOATS else "finite")


def _named(answer: Any) -> dict[str, Any]:
    """Outputs by name: the keys of a dict, else `output`, or `output_0` and on."""
    if isinstance(answer, Mapping):
        return {str(key): value for key, value in answer.items()}
    if isinstance(answer, (tuple, list)):
        return {f"output_{at}": value for at, value in enumerate(answer)} if len(answer) > 1 else {"output": answer[0]}
    return {"output": answer}


def _array(name: str, value: Any) -> Array:
    if not hasattr(value, "detach"):
        raise IncompatibleModel(f"{name!r} is a {type(value).__name__}, no tensor: a model answers with tensors")
    return np.asarray(value.detach().numpy())
