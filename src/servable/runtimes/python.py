"""Custom Python: a file that defines a `servable.PythonModel`, or a function `predict`. Runs code, so only by consent.

The bundle must say `allow_unsafe` and hold the file's digest; then it is loaded in a sandboxed model process, from the
very bytes that were checked.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import BundleError, CorruptModel, ModelFailed
from servable.runtimes import consent, verified
from servable.runtimes.devices import only_cpu
from servable.runtimes.python_model import PythonModel, signature_of

WHAT: Final = "Python"
MODULE: Final = "servable_custom_model"
LARGEST_SOURCE: Final = 1 << 22

Predict = Callable[..., Any]


class PythonRuntime:
    """Python source. `options.entry` of the manifest names the class or function, where there are several."""

    name = "python"
    platform = "python"
    isolated = True
    code = True

    def recognises(self, path: Path, head: bytes) -> bool:
        """Source that defines a PythonModel, or a function `predict`. It is parsed, not run."""
        return any(_defines_model(node) for node in statements(path, head))

    def inspect(self, path: Path) -> Inspection:
        """Refuses: to learn what it takes, one would have to run it."""
        raise consent.refuse(path.name, WHAT)

    def declared(self, path: Path, known: Inspection | None = None, rows: Batch | None = None) -> Inspection:  # noqa: ARG002 - it says so itself
        """What the code itself declares, by running it: for packing, after consent. Raises BundleError if it declares
        none.
        """
        sys.path.insert(0, str(path.parent))
        try:
            module = run_source(path.read_bytes(), path)
        finally:
            sys.path.remove(str(path.parent))
        entry = _entry(module, None)
        try:
            signature = signature_of(entry if isinstance(entry, type) else module)
        except ValueError as error:
            raise BundleError(f"{path.name!r} declares what cannot be: {error}") from error
        if signature is None:
            raise BundleError(f"{path.name!r} does not say what it takes and gives: set `inputs` and `outputs`")
        return Inspection(signature, options={"entry": entry.__name__})

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        consent.demand(bundle, WHAT)
        source = verified.read(bundle)
        folder = str(bundle.model_path.parent)
        sys.path.insert(0, folder)
        try:
            module = run_source(source, bundle.model_path)
            entry = _entry(module, bundle.manifest.options.get("entry"))
            if isinstance(entry, type):
                model = entry()
                model.device = device
                model.load(bundle.model_path.parent)
                return _Custom(model.predict, bundle.signature, folder, model.close)
            only_cpu("functions", device, "write a servable.PythonModel, which is told its device")
        except BaseException:
            sys.path.remove(folder)
            raise
        return _Custom(entry, bundle.signature, folder, lambda: None)


def statements(path: Path, head: bytes) -> list[ast.stmt]:
    """The statements of Python source, parsed and not run; none of what is no source."""
    if path.suffix != ".py" or not path.is_file() or b"\0" in head or path.stat().st_size > LARGEST_SOURCE:
        return []
    try:
        return ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError, OSError):
        return []


class _Custom:
    """The code as a Model: a dict goes in, what comes back is brought into the declared form."""

    concurrent = False

    def __init__(self, predict: Predict, signature: Signature, folder: str, close: Callable[[], None]) -> None:
        self._predict = predict
        self._signature = signature
        self._folder = folder
        self._close = close
        self._takes_parameters = "parameters" in inspect.signature(predict).parameters

    def predict(self, batch: Batch) -> Batch:
        columns = dict(batch.columns)
        if self._takes_parameters:
            answer = self._predict(columns, parameters=dict(batch.parameters or {}))
        else:
            answer = self._predict(columns)
        return Batch(self._columns(answer), batch.rows)

    def _columns(self, answer: Any) -> dict[str, Array]:
        outputs = self._signature.outputs
        if not isinstance(answer, Mapping):
            if len(outputs) != 1:
                names = ", ".join(repr(field.name) for field in outputs)
                raise ModelFailed(f"predict gave a {type(answer).__name__}: expected a dict with {names}")
            answer = {outputs[0].name: answer}
        columns = {}
        for field in outputs:
            if field.name in answer:
                array = np.asarray(answer[field.name])
                if field.dtype == object:
                    array = array if array.dtype == object else array.astype(str).astype(object)
                elif array.dtype != field.dtype:
                    if not np.can_cast(array.dtype, field.dtype, "same_kind"):
                        raise ModelFailed(f"output {field.name!r}: expected {field.datatype}, got {array.dtype}")
                    array = array.astype(field.dtype)
                columns[field.name] = array
        return columns

    def close(self) -> None:
        self._close()
        if self._folder in sys.path:
            sys.path.remove(self._folder)


def run_source(source: bytes, path: Path) -> types.ModuleType:
    """Execute the source as a module. Raises CorruptModel for what is no Python; else what the code raises."""
    try:
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise CorruptModel(f"{path.name!r} is not valid Python: {error}") from error
    module = types.ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module  # dataclasses and pickles look their module up by name
    exec(code, module.__dict__)  # noqa: S102 - what this format is; consented, pinned by digest, in a sandbox
    return module


def _entry(module: types.ModuleType, name: Any) -> Any:
    """The class or function that is the model. Raises BundleError if there is none, or more than one."""
    if name:
        found = getattr(module, str(name), None)
        if not callable(found):
            raise BundleError(f"{Path(str(module.__file__)).name!r} defines no {name!r}")
        return found
    classes = [
        value for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, PythonModel) and value.__module__ == MODULE
    ]  # fmt: skip
    if len(classes) == 1:
        return classes[0]
    if classes:
        names = ", ".join(kind.__name__ for kind in classes)
        raise BundleError(f"several models are defined ({names}): name one as options.entry")
    if callable(predict := getattr(module, "predict", None)):
        return predict
    raise BundleError("no model is defined: write a class that is a servable.PythonModel, or a function predict")


def _defines_model(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == "predict"
    if not isinstance(node, ast.ClassDef):
        return False
    bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
    return "PythonModel" in bases
