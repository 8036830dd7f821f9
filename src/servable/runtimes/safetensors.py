"""Weights in safetensors, and the Python that builds the module they belong to. Runs code, so only by consent.

`options.module` names the file beside the weights: it defines `build()`, which returns a torch.nn.Module, or one class
of module that needs no arguments. The weights must be all of its own, and no others.
"""

from __future__ import annotations

import inspect as inspection
import sys
import types
from pathlib import Path
from typing import Any, Final

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.errors import BundleError, CorruptModel, MissingExtra, UsageError
from servable.runtimes import consent, verified
from servable.runtimes.devices import only_cpu
from servable.runtimes.python import run_source
from servable.runtimes.tensor_call import TensorModel, call_of, contract, pytorch, taught

WHAT: Final = "a module built by Python"
_SUFFIX: Final = ".py"


class SafetensorsRuntime:
    """The plugin."""

    name = "safetensors"
    platform = "pytorch_safetensors"
    isolated = True
    code = True

    def recognises(self, path: Path, head: bytes) -> bool:
        """A header of JSON, its length before it."""
        length = int.from_bytes(head[:8], "little")
        return path.is_file() and head[8:9] == b"{" and length <= path.stat().st_size - 8 and b'"data_offsets"' in head

    def inspect(self, path: Path) -> Inspection:
        """Refuses: weights alone are no model."""
        raise BundleError(
            f"{path.name!r} holds weights without the module that uses them: pack it with the Python that builds it, "
            "and a sample:  servable pack FILE --include net.py --sample arrays.npz --allow-unsafe"
        )

    def declared(self, path: Path, known: Inspection | None = None, rows: Batch | None = None) -> Inspection:
        """The contract that the sample teaches: for packing, after consent."""
        named = [] if known is None else [name for name in known.options["include"] if name.endswith(_SUFFIX)]
        if known is None or rows is None or not named:
            return self.inspect(path)
        chosen = named[0]
        sys.path.insert(0, str(path.parent))
        torch = pytorch(path.name)
        module = _built(torch, (path.parent / chosen).read_bytes(), path.parent / chosen)
        _fill(module, path.read_bytes(), path.name)
        arguments = [name for name, each in inspection.signature(module.forward).parameters.items() if each.kind != 2]
        arrays, fixed = taught(rows, arguments, path.name)
        signature = contract(call_of(torch, module, fixed), arrays, path.name)
        options: dict[str, Any] = {"module": chosen} | ({"arguments": fixed} if fixed else {})
        return Inspection(signature, libraries={"torch": str(torch.__version__).partition("+")[0]}, options=options)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("PyTorch modules", device, "convert to ONNX to use a GPU")
        consent.demand(bundle, WHAT)
        stated = bundle.manifest
        sys.path.insert(0, str(bundle.folder))
        torch = pytorch(stated.model)
        source = bundle.folder / str(stated.options.get("module", ""))
        module = _built(torch, verified.read(bundle, source), source)
        _fill(module, verified.read(bundle), stated.model)
        return TensorModel(call_of(torch, module, stated.options.get("arguments", {})), bundle.signature)


def _built(torch: Any, source: bytes, path: Path) -> Any:
    """The module that the Python builds. Raises BundleError."""
    made = run_source(source, path)
    build = getattr(made, "build", None) or _only_class(torch, made, path.name)
    module = build()
    if not isinstance(module, torch.nn.Module):
        raise BundleError(f"{path.name!r}: build() gave a {type(module).__name__}: expected a torch.nn.Module")
    return module.eval()


def _only_class(torch: Any, made: types.ModuleType, name: str) -> Any:
    kinds = [
        value for value in vars(made).values()
        if isinstance(value, type) and issubclass(value, torch.nn.Module) and value.__module__ == made.__name__
    ]  # fmt: skip
    if len(kinds) != 1:
        found = ", ".join(kind.__name__ for kind in kinds) or "none"
        raise BundleError(f"{name!r} defines no build(), and not one class of torch.nn.Module (it has {found})")
    return kinds[0]


def _fill(module: Any, data: bytes, name: str) -> None:
    """Put the weights into the module. Raises CorruptModel, UsageError, MissingExtra."""
    try:
        import safetensors.torch as weights
    except ImportError as error:
        raise MissingExtra("pytorch", f"read {name!r}", missing=error.name) from error
    try:
        state = weights.load(data)
    except Exception as error:
        raise CorruptModel(f"{name!r} is a broken or cut off safetensors file: {error}") from error
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:400]
        raise UsageError(f"{name!r} does not fit the module: {reason}") from error
