"""PMML models: translated to numpy when they are loaded. Nothing else is needed; nothing in a file is executed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection, labels_of
from servable.domain.signature import Signature
from servable.errors import CorruptModel, ModelFailed
from servable.runtimes import verified
from servable.runtimes.agreement import agree
from servable.runtimes.devices import only_cpu

if TYPE_CHECKING:
    from servable.runtimes.pmml.translate import Answer

_START: Final = re.compile(rb"<(\w+:)?PMML[\s>]")


class PMMLRuntime:
    """The plugin."""

    name = "pmml"
    platform = "pmml_xml"
    isolated = False

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - the bytes say it all
        plain = head.replace(b"\0", b"")  # UTF-16 is ASCII with zeros between
        return plain.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<") and _START.search(plain) is not None

    def inspect(self, path: Path) -> Inspection:
        """The dictionary's active fields, and the model's outputs."""
        from servable.runtimes.pmml.translate import translate  # a tenth of a second, for files of PMML alone

        try:
            data = path.read_bytes()
        except OSError as error:
            raise CorruptModel(f"cannot read {path.name!r}: {error.strerror or error}") from error
        found = translate(data, path.name)
        return Inspection(Signature(found.inputs, found.outputs), labels_of(found.outputs), found.made_by)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("PMML models", device)
        from servable.runtimes.pmml.translate import translate

        found = translate(verified.read(bundle), bundle.manifest.model)
        agree(bundle, found.inputs, found.outputs)
        return PMMLModel(found.answer, tuple(field.name for field in bundle.signature.outputs))


class PMMLModel:
    """A translated document. Holds no state between calls."""

    concurrent = True

    def __init__(self, answer: Answer, outputs: tuple[str, ...]) -> None:
        self._answer: Answer | None = answer
        self._outputs = outputs

    def predict(self, batch: Batch) -> Batch:
        if self._answer is None:
            raise ModelFailed("the model is closed")
        found = self._answer(batch.columns, batch.rows)
        return Batch({name: found[name] for name in self._outputs}, batch.rows)

    def close(self) -> None:
        self._answer = None
