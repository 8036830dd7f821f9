"""ONNX models, by onnxruntime: the format nearly every other one is converted to.

One thread, sequential, no spinning: the lanes own the cores. The session is made from verified bytes, so what is loaded
is what was checked. Reading the file itself is `onnx_file.py`; files beside it, `onnx_external.py`; its contract,
`onnx_signature.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import CorruptModel, EnvironmentFault, IncompatibleModel, ModelFailed
from servable.runtimes import onnx_external, onnx_locale, onnx_trees, verified
from servable.runtimes.agreement import agree
from servable.runtimes.devices import CPU, kind_and_number
from servable.runtimes.onnx_file import OnnxFile, is_onnx, read
from servable.runtimes.onnx_signature import contract, fields
from servable.runtimes.protobuf import Malformed

_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_NEWER: Final = ("Unsupported model IR version", "only *guarantees* support", "is not a registered function/op")
_SILENT: Final = 3
_MUTE: Final = 4
"""Of what is loaded: what is wrong with it comes as an exception, and need not stand in the log, too, in colours."""

logger = logging.getLogger("servable.runtimes")


class OnnxRuntime:
    """The plugin."""

    name = "onnx"
    platform = "onnx_onnxv1"
    isolated = False

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.is_file() and is_onnx(head, path.stat().st_size)

    def inspect(self, path: Path) -> Inspection:
        """The file's own inputs and outputs; whether rows may be joined is tried out."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CorruptModel(f"cannot read {path.name!r}: {error.strerror or error}") from error
        file = _read(data, path.name)
        outside = onnx_external.locations(data)
        content = {location: onnx_external.mapped(path.parent, location) for location in outside}
        session = _session(file, content, "cpu", 1, path.name)
        if locales := onnx_locale.special(data):
            logger.warning(
                "%s changes the case of texts by the rules of %s: every machine that serves it needs that locale",
                path.name, " and ".join(locales),
            )  # fmt: skip
        libraries = {file.producer: file.producer_version} if file.producer and file.producer_version else {}
        signature, labels = contract(session, file, path.name)
        return Inspection(signature, labels, libraries, files=outside)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        data = verified.read(bundle)
        content = {}
        for location in onnx_external.locations(data):
            folder = bundle.model_path.parent
            content[location] = onnx_external.mapped(folder, location)
            verified.check(bundle, folder / location, memoryview(content[location]))
        return opened(bundle, data, content, device)


def opened(bundle: Bundle, data: bytes, content: Mapping[str, Any] | None = None, device: str = "cpu") -> OnnxModel:
    """A model of these bytes, which were verified or made here, under the contract and options of the bundle. `content`
    are the files beside it. Raises CorruptModel, IncompatibleModel, EnvironmentFault.
    """
    stated = bundle.manifest
    session = _session(
        _read(data, stated.model), content or {}, device, int(stated.options.get("threads", 1)), stated.model
    )
    agree(bundle, fields(session.get_inputs(), bundle.name), fields(session.get_outputs(), bundle.name))
    return OnnxModel(session, bundle.signature, stated.options.get("missing_text"), onnx_trees.questions(data))


class OnnxModel:
    """A session, its names bound once. `predict` adds a few microseconds to the session's own call."""

    concurrent = True

    def __init__(
        self,
        session: Any,
        signature: Signature,
        missing_text: str | None = None,
        questions: onnx_trees.Questions | None = None,
    ) -> None:
        import onnxruntime

        self._run = session._sess.run  # the call below `InferenceSession.run`: that one costs 2 us more
        self._options = onnxruntime.RunOptions()
        self._options.log_severity_level = _SILENT
        self._names = [field.name for field in signature.outputs]
        self._texts = [field.name for field in signature.inputs if field.datatype == "BYTES"]
        self._missing_text = missing_text
        self._signature = signature
        self._questions = questions

    def predict(self, batch: Batch) -> Batch:
        rows = batch.rows
        if not rows:
            return self.predict(self._signature.example()).slice(0, 0)
        if self._questions is not None and rows >= onnx_trees.LEAST_ROWS:
            came_from = onnx_trees.order(self._questions, batch)
            if came_from is not None:
                answer = self._answer(onnx_trees.placed(batch, came_from), rows)
                return onnx_trees.back(answer, came_from)
        return self._answer(self._plain(batch.columns) if self._texts else batch.columns, rows)

    def _answer(self, feeds: Mapping[str, Array], rows: int) -> Batch:
        try:
            arrays = self._run(self._names, feeds, self._options)
        except Exception as error:
            raise ModelFailed(f"onnxruntime: {reason(error)}") from error
        return Batch(dict(zip(self._names, arrays, strict=True)), rows)

    def close(self) -> None:
        self._run = _closed

    def _plain(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Texts as onnxruntime takes them: of anything but `str` it would take the printed form, None as 'None'."""
        feeds = dict(columns)
        for name in self._texts:
            array = feeds[name]
            if set(map(type, array.flat)) - {str}:
                feeds[name] = np.asarray(np.frompyfunc(self._text, 1, 1)(array), object)
        return feeds

    def _text(self, value: object) -> str:
        if value is None and self._missing_text is not None:
            return self._missing_text
        if not isinstance(value, str):
            what = "a missing value" if value is None else "bytes that are not UTF-8"
            raise ModelFailed(f"the model takes text, got {what}")
        return value


def reason(error: Exception) -> str:
    """Onnxruntime's message without its source locations and codes."""
    text = str(error).replace("\n", " ").strip()
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    marks = [text.find(mark) for mark in ("Unsupported model", "ONNX Runtime only")]
    return text[max(0, *marks) :][:400]


def session_options(threads: int) -> Any:
    """One call at a time with so many threads, which sleep between calls; and no warnings."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _MUTE
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _closed(*_: object) -> list[Array]:
    raise ModelFailed("the model is closed")


def _read(data: bytes, name: str) -> OnnxFile:
    try:
        return read(data)
    except Malformed as error:
        raise CorruptModel(f"{name!r} is a broken or cut off ONNX file: {error}") from error


def _session(file: OnnxFile, content: Mapping[str, Any], device: str, threads: int, name: str) -> Any:
    """An InferenceSession over the file's bytes and the mapped files beside it."""
    import onnxruntime

    kind, number = kind_and_number(device)
    provider = _PROVIDERS.get(kind)
    lacks = f"onnxruntime here cannot use device {device!r}: install onnxruntime-gpu and its CUDA, or load on 'cpu'"
    if provider not in onnxruntime.get_available_providers():
        raise EnvironmentFault(lacks)
    options = session_options(threads)
    if content:
        places = list(content)
        options.add_external_initializers_from_files_in_memory(
            places, [content[place] for place in places], [len(content[place]) for place in places]
        )
    chosen = {} if number is None or kind == CPU else {"device_id": str(number)}
    try:
        session = onnxruntime.InferenceSession(onnx_locale.settled(file.model), options, providers=[(provider, chosen)])
    except Exception as error:
        why = reason(error)
        if fault := onnx_locale.lacking(why, name):
            raise fault from error
        if any(mark in why for mark in _NEWER):
            opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in file.opsets.items())
            raise IncompatibleModel(
                f"{name!r} (ONNX format {file.ir_version}, opsets {opsets}) needs more than onnxruntime "
                f"{onnxruntime.__version__} knows: {why}; update onnxruntime, or save the model with an older opset"
            ) from error
        raise CorruptModel(f"onnxruntime {onnxruntime.__version__} cannot load {name!r}: {why}") from error
    if provider not in session.get_providers():  # it goes on without, and says so to nobody
        raise EnvironmentFault(lacks)
    return session
