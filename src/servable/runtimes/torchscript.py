"""TorchScript programs (`torch.jit.save`): a module's code in torch's own small language, and its weights. Runs in a
model process.

A program does not say what sizes it takes: it is packed with a sample of arrays, which teaches its contract. One that
keeps something between calls starts anew in each, so that no caller sees another's.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.errors import CorruptModel, IncompatibleModel, UsageError
from servable.runtimes import verified
from servable.runtimes.content import entries
from servable.runtimes.devices import only_cpu
from servable.runtimes.tensor_call import Call, TensorModel, call_of, contract, pytorch, taught
from servable.runtimes.torchscript_archive import is_torchscript, judge
from servable.runtimes.versions import not_newer


class TorchScriptRuntime:
    """The plugin."""

    name = "torchscript"
    platform = "pytorch_libtorch"
    isolated = True
    code = False
    """Its programs call operators of torch, and nothing else: no consent is needed."""

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"PK\x03\x04") and path.is_file() and is_torchscript(entries(path) or [])

    def inspect(self, path: Path) -> Inspection:
        """Refuses: the file names its arguments, and says nothing of their sizes."""
        raise IncompatibleModel(
            f"{path.name!r} is a TorchScript program, which does not say what it takes: pack it with a sample of "
            "arrays by the names of its arguments:  servable pack FILE --sample arrays.npz"
        )

    def declared(self, path: Path, known: Inspection | None = None, rows: Batch | None = None) -> Inspection:
        """The contract that the sample teaches. Raises IncompatibleModel without one."""
        if known is None or rows is None:
            return self.inspect(path)
        torch, module = _opened(path.read_bytes(), path.name)
        kinds = {each.name: str(each.type) for each in module.forward.schema.arguments[1:]}
        arrays, fixed = taught(rows, list(kinds), path.name)
        if plain := [name for name in arrays if "Tensor" not in kinds[name]]:
            raise UsageError(f"{path.name!r} takes {plain[0]!r} as {kinds[plain[0]]}: give one value, without axes")
        for name in [name for name in fixed if "Tensor" in kinds[name]]:
            arrays[name] = np.asarray(fixed.pop(name))
        forgets = _forgets(call_of(torch, module, fixed), arrays, path.name)
        call = call_of(torch, module if forgets else _anew(module), fixed)
        signature = contract(call, arrays, path.name)
        options: dict[str, Any] = {"arguments": fixed} if fixed else {}
        if not forgets:
            options["anew"] = True
        return Inspection(signature, libraries={"torch": str(torch.__version__).partition("+")[0]}, options=options)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("TorchScript models", device, "convert to ONNX to use a GPU")
        stated = bundle.manifest
        torch, module = _opened(verified.read(bundle), stated.model)
        not_newer("torch", stated.libraries.get("torch", ""), torch.__version__, stated.model)
        run = _anew(module) if stated.options.get("anew") is True else module
        return TensorModel(call_of(torch, run, stated.options.get("arguments", {})), bundle.signature)


def _opened(data: bytes, name: str) -> tuple[Any, Any]:
    """The library and the module. Raises CorruptModel, UnsafeModel."""
    judge(data, name)
    torch = pytorch(name)
    try:
        return torch, torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise CorruptModel(f"torch {torch.__version__} cannot load {name!r}: {reason}") from error


def _anew(module: Any) -> Callable[..., Any]:
    """The module as it was loaded, in every call."""

    def run(**given: Any) -> Any:
        return copy.deepcopy(module)(**given)

    return run


def _forgets(call: Call, sample: Mapping[str, Array], name: str) -> bool:
    """Whether a call leaves nothing behind: the same question twice gets the same answer."""
    try:
        first, second = call(sample), call(sample)
    except Exception as error:
        reason = " ".join(str(error).split())[-300:]
        raise UsageError(f"{name!r} does not answer the sample: {reason}") from error
    return all(np.array_equal(first[key], second[key], equal_nan=first[key].dtype.kind == "f") for key in first)
