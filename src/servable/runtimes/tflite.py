"""TFLite models, by LiteRT. Data only: it runs in a door.

Clients send and get floats where the model is quantised. Most files hold a batch of exactly one: rows are then run one
after the other, which is what joining them would cost anyway. A model that remembers (variables inside) starts afresh
with each request: a request is one stream, its first axis the steps in order, and is never joined with another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import CorruptModel, ModelFailed
from servable.runtimes import verified
from servable.runtimes.agreement import agree
from servable.runtimes.devices import only_cpu
from servable.runtimes.rows import probe
from servable.runtimes.tflite_file import MAGIC, Graph, interpreter, read


class TFLiteRuntime:
    """The plugin."""

    name = "tflite"
    platform = "tflite_flatbuffer"
    isolated = False

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - the bytes say it all
        return head[4:8] == MAGIC

    def inspect(self, path: Path) -> Inspection:
        """The file's default signature; whether rows may be joined is tried out where the file leaves it open."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CorruptModel(f"cannot read {path.name!r}: {error.strerror or error}") from error
        made = interpreter(data, 1, path.name)
        graph = read(made, data, None, path.name)
        options = {"signature": graph.signature} if graph.signature else {}
        return Inspection(_signature(_Runner(made, graph)), options=options)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("TFLite models", device, "convert to ONNX to use a GPU")
        return opened(bundle, verified.read(bundle))


def opened(bundle: Bundle, data: bytes) -> Model:
    """A model of these bytes, which were verified or made here, under the contract and options of the bundle. Raises
    CorruptModel, IncompatibleModel, MissingExtra.
    """
    options, name = bundle.manifest.options, bundle.manifest.model
    threads = int(options.get("threads", 1))
    made = interpreter(data, threads, name)
    graph = read(made, data, options.get("signature"), name)
    fields = _fields(graph, free=bundle.signature.batched or graph.remembers)
    agree(bundle, *fields)
    if graph.remembers and bundle.signature.batched:
        raise CorruptModel(
            f"{name!r} remembers from call to call, and the manifest of {bundle.name!r} says that its rows may be "
            "joined: pack the model again"
        )
    if graph.remembers:
        return TFLiteStream(data, threads, graph, name)
    return TFLiteModel(_Runner(made, graph), bundle.signature)


class _Runner:
    """Calls an interpreter by names. Tensors are resized, then allocated anew, only where shapes change."""

    def __init__(self, made: Any, graph: Graph) -> None:
        self.graph = graph
        self._made = made  # owns the bytes and the memory
        self._core = made._interpreter  # takes the subgraph with each call, which the public methods do not
        self._shapes: list[tuple[int, ...]] | None = None

    def one(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """One call."""
        graph, core = self.graph, self._core
        shapes = [columns[tensor.name].shape for tensor in graph.inputs]
        if shapes != self._shapes:
            self._resize(shapes)
        for tensor in graph.inputs:
            core.SetTensor(tensor.index, np.ascontiguousarray(tensor.stored(columns[tensor.name])), graph.subgraph)
        core.Invoke(graph.subgraph)
        return {tensor.name: tensor.real(core.GetTensor(tensor.index, graph.subgraph)) for tensor in graph.outputs}

    def each(self, columns: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """One call for each entry of the first axis, in order."""
        parts = [self.one({name: array[at : at + 1] for name, array in columns.items()}) for at in range(rows)]
        return {tensor.name: np.concatenate([part[tensor.name] for part in parts]) for tensor in self.graph.outputs}

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        self._shapes = None
        for tensor, shape in zip(self.graph.inputs, shapes, strict=True):
            self._core.ResizeInputTensor(tensor.index, np.array(shape, np.int32), False, self.graph.subgraph)
        self._core.AllocateTensors(self.graph.subgraph)
        self._shapes = shapes


class TFLiteModel:
    """An interpreter: one call at a time, since inputs and outputs lie inside it."""

    concurrent = False

    def __init__(self, runner: _Runner, signature: Signature) -> None:
        self._runner: _Runner | None = runner
        self._signature = signature
        self._each = signature.batched and runner.graph.single

    def predict(self, batch: Batch) -> Batch:
        if self._runner is None:
            raise ModelFailed("the model is closed")
        rows = batch.rows
        if not rows:
            return self.predict(self._signature.example()).slice(0, 0)
        try:
            found = self._runner.each(batch.columns, rows) if self._each else self._runner.one(batch.columns)
        except (ValueError, RuntimeError) as error:
            raise ModelFailed(f"LiteRT: {error}") from error
        return Batch({field.name: found[field.name] for field in self._signature.outputs}, rows)

    def close(self) -> None:
        self._runner = None


class TFLiteStream:
    """A model that remembers. Every request gets an interpreter of its own: nothing is left of the one before."""

    concurrent = True

    def __init__(self, data: bytes, threads: int, graph: Graph, name: str) -> None:
        self._data: bytes | None = data
        self._threads = threads
        self._graph = graph
        self._name = name

    def predict(self, batch: Batch) -> Batch:
        if self._data is None:
            raise ModelFailed("the model is closed")
        runner = _Runner(interpreter(self._data, self._threads, self._name), self._graph)
        steps = len(next(iter(batch.columns.values()))) if self._graph.single else 1
        if not steps:
            raise ModelFailed("a stream needs at least one step: the first axis of every input is empty")
        try:
            return Batch(runner.each(batch.columns, steps) if self._graph.single else runner.one(batch.columns), 1)
        except (ValueError, RuntimeError) as error:
            raise ModelFailed(f"LiteRT: {error}") from error

    def close(self) -> None:
        self._data = None


def _fields(graph: Graph, *, free: bool) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Inputs and outputs; `free`: where the file has one row, any number of rows (or steps) is taken."""
    inputs = tuple(tensor.field() for tensor in graph.inputs)
    outputs = tuple(tensor.field() for tensor in graph.outputs)
    if free and graph.single:
        return tuple(_many(field) for field in inputs), tuple(_many(field) for field in outputs)
    return inputs, outputs


def _many(field: Field) -> Field:
    return Field(field.name, field.datatype, (-1, *field.shape[1:]), values=field.values)


def _signature(runner: _Runner) -> Signature:
    graph = runner.graph
    if graph.remembers or (graph.single and graph.inputs):
        return Signature(*_fields(graph, free=True), batched=not graph.remembers)
    inputs, outputs = _fields(graph, free=False)
    batched = bool(inputs) and all(field.shape[:1] == (-1,) for field in inputs)
    seen = probe(runner.one, inputs, batched=batched)
    if batched and (seen is None or not seen.independent):
        batched, seen = False, probe(runner.one, inputs, batched=False)
    if seen is not None:
        outputs = tuple(_as_seen(field, seen.shapes[field.name], inputs, batched=batched) for field in outputs)
    return Signature(inputs, outputs, batched)


def _as_seen(field: Field, shape: tuple[int, ...], inputs: tuple[Field, ...], *, batched: bool) -> Field:
    """The field with the shape that came: declared sizes of outputs are those of a batch of one."""
    fixed = all(-1 not in given.shape[batched:] for given in inputs)
    sizes = shape if fixed else tuple(-1 for _ in shape)
    return Field(field.name, field.datatype, (-1, *sizes[1:]) if batched else sizes, values=field.values)
