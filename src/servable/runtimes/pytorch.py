"""PyTorch programs saved by `torch.export.save` (`.pt2`): a graph and its weights. Runs in a model process.

TorchScript and pickled modules are not served: the first does not say what it takes, the second is code.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.datatypes import FLOATS, datatype_of
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra, ModelFailed, UnsafeModel
from servable.runtimes import verified
from servable.runtimes.agreement import agree
from servable.runtimes.content import entries
from servable.runtimes.devices import only_cpu
from servable.runtimes.pytorch_archive import is_exported, judge
from servable.runtimes.rows import probe


class PyTorchRuntime:
    """The plugin."""

    name = "pytorch"
    platform = "pytorch_exported"
    isolated = True

    def recognises(self, path: Path, head: bytes) -> bool:
        if not head.startswith(b"PK\x03\x04") or not path.is_file():
            return False
        return is_exported(entries(path) or [])

    def inspect(self, path: Path) -> Inspection:
        """The program's inputs and outputs; whether rows may be joined is tried out."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CorruptModel(f"cannot read {path.name!r}: {error.strerror or error}") from error
        program = Program(data, path.name)
        return Inspection(_signature(program), libraries={"torch": program.version} if program.version else {})

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("PyTorch programs", device, "convert to ONNX to use a GPU")
        program = Program(verified.read(bundle), bundle.manifest.model)
        agree(bundle, program.inputs, program.outputs)
        return PyTorchModel(program, bundle.signature)


class Program:
    """A loaded program: its fields, and a call by names."""

    def __init__(self, data: bytes, name: str) -> None:
        made_by = judge(data, name)
        try:
            import torch
        except ImportError as error:
            raise MissingExtra("pytorch", f"load {name!r}", missing=error.name) from error
        _judge_samples(data, name, torch)
        torch.set_num_threads(1)
        try:
            exported = torch.export.load(io.BytesIO(data))
            self._module = exported.module(check_guards=False)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise CorruptModel(f"torch {torch.__version__} cannot load {name!r}: {reason}") from error
        self._torch = torch
        self.exported = exported
        self.version = made_by
        held = {node.name: node.meta.get("val") for node in exported.graph.nodes}
        given = list(exported.graph_signature.user_inputs)
        taken = list(exported.graph_signature.user_outputs)
        keys = _answers(exported.call_spec.out_spec, len(taken), name)
        self.inputs = tuple(_field(key, held.get(key), name) for key in given)
        self.outputs = tuple(_field(key, held.get(node), name) for key, node in zip(keys, taken, strict=True))
        self._spec = exported.call_spec.in_spec

    def __call__(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        torch, tree = self._torch, self._torch.utils._pytree
        tensors = [torch.from_numpy(np.array(columns[field.name])) for field in self.inputs]
        arguments, named = tree.tree_unflatten(tensors, self._spec)
        with torch.inference_mode():
            leaves = tree.tree_leaves(self._module(*arguments, **named))
        return {field.name: leaf.numpy() for field, leaf in zip(self.outputs, leaves, strict=True)}


class PyTorchModel:
    """A program, one call at a time."""

    concurrent = False

    def __init__(self, program: Program, signature: Signature) -> None:
        self._program: Program | None = program
        self._signature = signature

    def predict(self, batch: Batch) -> Batch:
        if self._program is None:
            raise ModelFailed("the model is closed")
        rows = batch.rows
        if not rows:
            return self.predict(self._signature.example()).slice(0, 0)
        try:
            found = self._program(batch.columns)
        except Exception as error:
            raise ModelFailed(f"torch: {' '.join(str(error).split())[:400]}") from error
        return Batch({field.name: found[field.name] for field in self._signature.outputs}, rows)

    def close(self) -> None:
        self._program = None


def _judge_samples(data: bytes, name: str, torch: Any) -> None:
    """The example inputs are a pickle, which torch would open with code if it does not open without: try that first."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.namelist():
            content = archive.read(entry) if entry.endswith("data/sample_inputs/model.pt") else b""
            if not content:
                continue
            try:
                torch.load(io.BytesIO(content), weights_only=True)
            except Exception as error:
                raise UnsafeModel(
                    f"{name!r} holds example inputs that are not plain tensors: opening them could run code. Nothing "
                    "was loaded. Export the model as ONNX, or with plain tensors as examples"
                ) from error


def _answers(spec: Any, count: int, name: str) -> list[str]:
    """The names of the outputs: the keys of a dict, else `output`, or `output_0` and on."""
    keys = spec.context if spec.type is dict else None
    if keys and len(keys) == count and all(isinstance(key, str) for key in keys):
        return list(keys)
    if not count:
        raise IncompatibleModel(f"{name!r} has no outputs")
    return ["output"] if count == 1 else [f"output_{at}" for at in range(count)]


def _field(key: str, value: Any, name: str) -> Field:
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise IncompatibleModel(f"{name!r}: {key!r} is no tensor; export the program with tensors in and out only")
    sizes = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    try:
        datatype = datatype_of(np.dtype(str(value.dtype).removeprefix("torch.")))
    except TypeError as error:
        raise IncompatibleModel(
            f"{name!r}: {key!r} is {value.dtype}, which no datatype of the protocol holds"
        ) from error
    return Field(key, datatype, sizes, values="any" if datatype in FLOATS else "finite")


def _signature(program: Program) -> Signature:
    inputs, outputs = program.inputs, program.outputs
    batched = bool(inputs) and all(field.shape[:1] == (-1,) for field in (*inputs, *outputs))
    seen = probe(program, inputs, batched=batched)
    return Signature(inputs, outputs, batched and seen is not None and seen.independent)
