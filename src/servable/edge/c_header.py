"""Writes trees as a header in C: tables and one function, float32, no allocation: for the smallest machines."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.load import Predictor
from servable.bundles.opened import Opened
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.datatypes import FLOATS
from servable.edge.c_text import header
from servable.edge.devices import TIMEOUT_S, Ran
from servable.edge.edition import Edition
from servable.edge.obstacles import Obstacle
from servable.edge.served import answers
from servable.edge.target import Target
from servable.edge.trees import Trees, trees
from servable.errors import EnvironmentFault, ModelFailed, Unsupported
from servable.runtimes import verified

HEADER: Final = "model.h"
FACTS: Final = "facts.json"
MOST_BYTES: Final = 512 * 1024
NODE_BYTES: Final = 16
WEIGHT_BYTES: Final = 8
_ASKED: Final = """#include "model.h"
void ask(const float *rows, long count, float *scores, int *labels) {
  for (long row = 0; row < count; row++)
    labels[row] = model_predict(rows + row * MODEL_FEATURES, scores + row * MODEL_SCORES);
}
"""


class Facts(msgspec.Struct, frozen=True):
    """What the proof needs to know beside the header: the contract, and the labels by number."""

    manifest: Manifest
    digest: str
    version: str
    labels: tuple[str | int, ...]


def write(edition: Edition, folder: Path, _: frozenset[str]) -> None:
    """Write the header."""
    found = trees(edition.model)
    stated = edition.bundle.manifest
    features = stated.signature.inputs[0].shape[1]
    title = f"{edition.bundle.name}, version {edition.version}, bundle {edition.bundle.digest}"
    names = stated.signature.inputs[0].features
    (folder / HEADER).write_text(header(found, features, names, title), encoding="utf-8")
    facts = Facts(stated, edition.bundle.digest, edition.version, found.labels)
    (folder / FACTS).write_bytes(msgspec.json.encode(facts))


def sizes(edition: Edition, folder: Path) -> dict[str, int]:
    """The text, and the tables that it makes."""
    return {
        "the header": (folder / HEADER).stat().st_size,
        "its tables": table_bytes(trees(edition.model)),
        "the model": len(edition.model),
    }


def table_bytes(found: Trees) -> int:
    """Of the constants in a program."""
    return len(found.nodes) * NODE_BYTES + len(found.weights) * WEIGHT_BYTES + 4 * len(found.roots)


def in_c(folder: Path, bodies: Sequence[Any]) -> Ran:
    """The answers of the header, compiled; contract and words are those of this process. Raises EnvironmentFault,
    ModelFailed.
    """
    facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=Facts)
    with tempfile.TemporaryDirectory(prefix="servable-edge-") as place:
        (Path(place) / "ask.c").write_text(_ASKED)
        compiler = shutil.which("cc")
        if compiler is None:
            raise EnvironmentFault("a C compiler is needed for the proof: install gcc, or export with --no-proof")
        library = Path(place) / "ask.so"
        done = subprocess.run(
            [compiler, "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC",
             "-ffp-contract=off", "-I", str(folder.resolve()), str(Path(place) / "ask.c"), "-o", str(library), "-lm"],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ModelFailed(f"the exported header does not compile: {done.stderr.strip()[-800:]}")
        model = Compiled(ctypes.CDLL(str(library)), facts)
    bundle = Bundle(folder, facts.manifest, facts.digest)
    with Predictor(Opened(bundle, model)) as predictor:
        return Ran("C", answers(predictor, facts.version, bodies), p50_ms=_time_ms(model, bundle))


class Compiled:
    """The header, as a model of this process: for the proof."""

    concurrent = True

    def __init__(self, library: ctypes.CDLL, facts: Facts) -> None:
        self._ask = library.ask
        self._ask.restype = None
        self._labels = np.array(facts.labels, object)
        self._signature = facts.manifest.signature

    def predict(self, batch: Batch) -> Batch:
        (given,) = batch.columns.values()
        rows = np.ascontiguousarray(given, np.float32)
        floats = [field for field in self._signature.outputs if field.datatype in FLOATS]
        width = max(len(self._labels), *(math.prod(field.shape[1:]) for field in floats), 1)
        scores = np.empty((len(rows), width), np.float32)
        labels = np.empty(len(rows), np.intc)
        self._ask(_pointer(rows), ctypes.c_long(len(rows)), _pointer(scores), _pointer(labels))
        columns: dict[str, Array] = {}
        for field in self._signature.outputs:
            if field.datatype in FLOATS:
                columns[field.name] = scores.reshape(len(rows), *field.shape[1:])
            else:
                columns[field.name] = self._labels[labels].astype(field.dtype).reshape(len(rows), *field.shape[1:])
        return Batch(columns, len(rows))

    def close(self) -> None:
        pass


def alone(bundle: Bundle) -> Iterator[Obstacle]:
    """What does not go into a header."""
    signature, rules = bundle.signature, [rule.name for rule in bundle.manifest.rules]
    fix = "Export it with --target desktop, which carries the whole of it"
    if rules:
        yield Obstacle(f"it has rules ({', '.join(rules)}), and a header holds trees alone", fix)
    given = [field.describe() for field in signature.inputs]
    if len(given) != 1 or signature.inputs[0].datatype != "FP32" or len(signature.inputs[0].shape) != 2:
        yield Obstacle(f"its inputs are {', '.join(given)}, and a header takes one row of 32-bit floats", fix)
    if bundle.manifest.format != "onnx":
        return
    try:
        found = trees(verified.read(bundle))
    except Unsupported as error:
        yield Obstacle(f"{error.message}, and a header holds trees alone", fix)
        return
    if (size := table_bytes(found)) > MOST_BYTES:
        yield Obstacle(
            f"its tables take {size:,} bytes, and a header holds at most {MOST_BYTES:,}", "Train fewer or smaller trees"
        )


def _time_ms(model: Compiled, bundle: Bundle) -> float:
    one = bundle.signature.example()
    times = []
    for _ in range(100):
        began = time.perf_counter()
        model.predict(one)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1000


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def runtimes() -> dict[str, str]:
    """The compiler of the proof."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    told = subprocess.run([compiler, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=False)
    return {"cc": told.stdout.strip()}


TARGET: Final = Target("c", write, (in_c,), sizes, runtimes, (alone,))
