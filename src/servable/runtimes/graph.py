"""A TensorFlow function as a Model: named tensors in and out. Shared by the SavedModel and Keras runtimes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS, datatype_of
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import IncompatibleModel, MissingExtra, ModelFailed
from servable.runtimes.rows import probe
from servable.runtimes.silence import silence

Call = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class Traced(NamedTuple):
    """A model as one function of tensors, in the order of `inputs`; it gives a list, in the order of `outputs`."""

    function: Any
    specs: list[Any]
    inputs: list[str]
    outputs: list[str]


def tensorflow(name: str) -> Any:
    """The library, quiet and on one thread a call. Raises MissingExtra."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its rounding depends on the machine
    try:
        with silence():
            import tensorflow as tf
    except ImportError as error:
        raise MissingExtra("tensorflow", f"load {name!r}", missing=error.name) from error
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # it has run something already: the threads stay as they were set then
        pass
    return tf


def field(key: str, spec: Any, name: str) -> Field:
    """The field of a TensorSpec. Raises IncompatibleModel for what is no plain tensor."""
    shape, dtype = getattr(spec, "shape", None), getattr(spec, "dtype", None)
    if shape is None or dtype is None or getattr(shape, "rank", None) is None or type(spec).__name__ in _RAGGED:
        raise IncompatibleModel(f"{name!r}: {key!r} is {spec}; only plain tensors of a known rank can be served")
    try:
        datatype = "BYTES" if dtype.name == "string" else datatype_of(np.dtype(dtype.as_numpy_dtype))
    except TypeError as error:
        raise IncompatibleModel(
            f"{name!r}: {key!r} is {dtype.name}, which no datatype of the protocol holds"
        ) from error
    sizes = tuple(-1 if size is None else int(size) for size in shape)
    return Field(key, datatype, sizes, values="any" if datatype in FLOATS else "finite")


def spec_of(key: str, spec: Any) -> Any:
    """The spec under the name of its argument."""
    return type(spec)(spec.shape, spec.dtype, name=key)


_RAGGED = frozenset({"RaggedTensorSpec", "SparseTensorSpec"})


def signature_of(call: Call, inputs: tuple[Field, ...], outputs: tuple[Field, ...]) -> Signature:
    """Inputs and outputs, and whether rows are joined: where predicting them apart and together is seen to be equal.

    Where random values do not suit the model: where every first axis is open, as TensorFlow's own serving takes it.
    """
    batched = bool(inputs) and all(each.shape[:1] == (-1,) for each in (*inputs, *outputs))
    seen = probe(call, inputs, batched=batched)
    if batched and seen is not None and not seen.independent:
        batched, seen = False, probe(call, inputs, batched=False)
    if seen is not None:
        outputs = tuple(_as_seen(each, seen.shapes[each.name]) for each in outputs)
    return Signature(inputs, outputs, batched)


def _as_seen(given: Field, shape: tuple[int, ...]) -> Field:
    """The field, its declared shape kept where it is true."""
    return given if given.fits(shape) else Field(given.name, given.datatype, (-1,) * len(shape), values=given.values)


class GraphModel:
    """Calls a function of tensors; several threads may."""

    concurrent = True

    def __init__(self, call: Call, signature: Signature) -> None:
        self._call: Call | None = call
        self._signature = signature

    def predict(self, batch: Batch) -> Batch:
        if self._call is None:
            raise ModelFailed("the model is closed")
        rows = batch.rows
        if not rows:
            return self.predict(self._signature.example()).slice(0, 0)
        try:
            found = self._call(batch.columns)
        except Exception as error:
            raise ModelFailed(f"TensorFlow: {_reason(error)}") from error
        return Batch({each.name: found[each.name] for each in self._signature.outputs}, rows)

    def close(self) -> None:
        self._call = None


def sent(array: Array) -> Array:
    """Texts as TensorFlow takes them: bytes. Raises ModelFailed for a missing one."""
    if array.dtype != object:
        return array

    def raw(value: object) -> bytes:
        if value is None:
            raise ModelFailed("the model takes text, got a missing value")
        return value if isinstance(value, bytes) else str(value).encode()

    return np.asarray(np.frompyfunc(raw, 1, 1)(array), object)


def received(array: Array) -> Array:
    """Texts as the Batch holds them: `str`, or bytes where they are not UTF-8."""
    if array.dtype.kind not in "OS":
        return array
    out = np.asarray(array, object)
    return np.asarray(np.frompyfunc(_text, 1, 1)(out), object)


def _text(value: Any) -> str | bytes:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and "Graph execution error" not in line]
    return (lines[0] if lines else repr(error))[:400]
