"""A model in onnxruntime's own format, with the list of the operators that it needs: for runtimes that are built with
these alone, as those for phones can be.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from servable.bundles.difference import differences
from servable.bundles.golden import golden_rows
from servable.domain.model import Model
from servable.edge.devices import TIMEOUT_S
from servable.edge.edition import Edition
from servable.edge.one_by_one import OneByOne
from servable.errors import CheckFailed, IncompatibleModel
from servable.runtimes.onnx import OnnxModel, session_options

_NAME: Final = "model"
_TOOL: Final = "onnxruntime.tools.convert_onnx_models_to_ort"


class OrtFile(msgspec.Struct, frozen=True):
    """The bytes, and the list of operators as `--include_ops_by_config` of onnxruntime's own build takes it."""

    model: bytes
    operators: bytes


def ort_file(edition: Edition) -> OrtFile:
    """The edition in that format. Raises IncompatibleModel where onnxruntime cannot write it, CheckFailed where golden
    rows are answered otherwise than by the edition.
    """
    with tempfile.TemporaryDirectory(prefix="servable-edge-") as place:
        source = Path(place) / f"{_NAME}.onnx"
        source.write_bytes(edition.model)
        # A process of its own: the tool sets up logging for all of the program that it is imported by.
        done = subprocess.run(
            [sys.executable, "-m", _TOOL, str(source), "--optimization_style", "Fixed"],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            why = done.stderr.strip().rpartition("\n")[2][-400:]
            raise IncompatibleModel(f"onnxruntime cannot write {edition.bundle.name!r} in its own format: {why}")
        operators = source.with_suffix(".required_operators.config").read_text()
        needed = [line for line in operators.splitlines(keepends=True) if not line.startswith("#")]  # places of here
        made = OrtFile(source.with_suffix(".ort").read_bytes(), "".join(needed).encode())
    _hold(made.model, edition)
    return made


def _hold(data: bytes, edition: Edition) -> None:
    """Devices are asked more; this one, onnxruntime here, is asked first."""
    rows = golden_rows(edition.bundle) or edition.bundle.signature.example()
    with closing(edition.opened()) as own, closing(_opened(data, edition)) as made:
        found = differences(own.predict(rows), made.predict(rows), edition.relative, edition.absolute)
    if wrong := [str(each) for each in found if each.count]:
        raise CheckFailed(f"{edition.bundle.name!r} answers otherwise in onnxruntime's own format: {'; '.join(wrong)}")


def _opened(data: bytes, edition: Edition) -> Model:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, session_options(1), providers=["CPUExecutionProvider"])
    model = OnnxModel(session, edition.bundle.signature, edition.bundle.manifest.options.get("missing_text"))
    return OneByOne(model) if edition.alone else model
