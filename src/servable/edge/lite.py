"""Writes a model for phones as TFLite: the bundle's own file, or one that is converted behind walls from Keras or
TensorFlow, with its contract and golden rows.

No sources go around it, so nothing there would hold the bundle's rules: they stand in the way. The proof asks the file
that was written by LiteRT here; what reads requests is the server's own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from servable.bundles.convert_lite import CONVERTIBLE, Narrowed
from servable.bundles.elsewhere.messages import Rows, ToLite
from servable.bundles.elsewhere.process import Elsewhere
from servable.bundles.load import Predictor
from servable.bundles.opened import Opened
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.edge.contract import CONTRACT, contract_of
from servable.edge.devices import Ran
from servable.edge.edition import Edition
from servable.edge.obstacles import MOST_BYTES, Obstacle
from servable.edge.react_native import GOLDEN, golden
from servable.edge.served import answers
from servable.edge.target import Target
from servable.edge.variants import Variant
from servable.errors import ConversionRejected, UsageError
from servable.runtimes import tflite, verified
from servable.runtimes.find import runtime
from servable.runtimes.onnx_file import read
from servable.runtimes.tflite_file import PREFERRED
from servable.sandbox.walls import of_model

MODEL: Final = "model.tflite"
OWN: Final = "tflite"
MOST_CALLS: Final = 300
LONGEST_S: Final = 1.0
"""Of a time that is measured."""
PACKAGE: Final = "ai-edge-litert"
_TO_ONNX: Final = (
    "Pack it with --to onnx and a sample, where that is proven equal: onnxruntime's format goes to phones too"
)


def edition_of(bundle: Bundle, version: str, outputs: Sequence[str] = ()) -> Edition:
    """The bundle's model as TFLite. Raises UsageError for outputs that are named, ConversionRejected, CorruptModel,
    DigestMismatch, MissingExtra.
    """
    if outputs:
        raise UsageError("--keep takes outputs out of ONNX, and this model goes as TFLite: leave it out")
    own = bundle.manifest.format == OWN
    return Edition(bundle, version, verified.read(bundle) if own else converted(bundle), lite=True)


def converted(bundle: Bundle, narrowed: Narrowed = "", rows: Batch | None = None) -> bytes:
    """The bundle's model as TFLite. Raises ConversionRejected, CorruptModel, DigestMismatch, MissingExtra."""
    kind = bundle.manifest.format
    signature = str(bundle.manifest.options.get("signature", PREFERRED))
    given = None if rows is None else Rows.of(rows)
    with verified.copied(bundle) as path, Elsewhere(path.name, of_model(path), runtime(kind)) as there:
        try:
            return there.lite(ToLite(kind, str(path), signature, narrowed, given))
        except ConversionRejected as error:
            raise ConversionRejected(f"{bundle.name!r} cannot be converted {error.message}. {_TO_ONNX}") from error


def write(edition: Edition, folder: Path, _: frozenset[str]) -> None:
    """Write the folder."""
    model = edition.model
    (folder / MODEL).write_bytes(model)
    file = {"path": MODEL, "bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    (folder / CONTRACT).write_bytes(orjson.dumps({**contract_of(edition), "file": file}))
    (folder / GOLDEN).write_bytes(orjson.dumps(golden(edition)))


def in_this_process(bundle: Bundle, folder: Path, bodies: Sequence[Any]) -> Ran:
    """What the file in the folder answers by LiteRT, under the bundle's contract. Raises CorruptModel, MissingExtra."""
    stated = orjson.loads((folder / CONTRACT).read_bytes())
    with Predictor(Opened(bundle, tflite.opened(bundle, (folder / MODEL).read_bytes()))) as predictor:
        told = answers(predictor, stated["version"], bodies)
        asked = next((body for body, answer in zip(bodies, told, strict=True) if "error" not in answer), None)
        p50_ms = None if asked is None else _p50_ms(lambda: answers(predictor, stated["version"], [asked]))
        return Ran(f"LiteRT {version(PACKAGE)} on this machine", told, p50_ms=p50_ms)


def _p50_ms(call: Callable[[], object]) -> float:
    """The median of calls, of those after the first third."""
    times: list[float] = []
    end = time.perf_counter() + LONGEST_S
    while len(times) < MOST_CALLS and (not times or time.perf_counter() < end):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times[len(times) // 3 :]) * 1000


def sizes(_: Edition, folder: Path) -> dict[str, int]:
    """What is added to an app, without the runtime."""
    return {"the TFLite model": (folder / MODEL).stat().st_size}


def runtimes() -> dict[str, str]:
    """What computes in the proof."""
    return {PACKAGE: version(PACKAGE)}


def unfit(bundle: Bundle) -> Iterator[Obstacle]:
    """What TFLite, or an app that has the file alone, does not know."""
    for field in (*bundle.signature.inputs, *bundle.signature.outputs):
        if field.datatype == "BYTES":
            yield Obstacle(f"{field.name!r} holds texts, and TFLite has numbers alone", _TO_ONNX)
    for rule in bundle.manifest.rules:
        yield Obstacle(
            f"rule {rule.name!r} would not hold: {MODEL} goes without sources, and nothing in it applies rules",
            "Leave it to the app, and take it from the version for phones: servable rules apply",
        )
    stated = bundle.manifest
    size = sum(file.bytes for file in stated.files if file.path == stated.model)
    if size > MOST_BYTES:
        yield Obstacle(
            f"its model has {size:,} bytes, and a device takes at most {MOST_BYTES:,}",
            "Serve it from a server, or train or distil a smaller one",
        )


def notes(edition: Edition) -> tuple[str, ...]:
    """What a model that goes as TFLite goes without."""
    kind = edition.bundle.manifest.format
    more = "" if kind == OWN else ", converted. Packed with --to onnx and a sample it goes in onnxruntime's format"
    return (
        f"no model.ort and no sources: the bundle's model is {kind}, and goes as TFLite{more}",
        f"limits and categories are in {CONTRACT}: the app checks them, {MODEL} takes whatever it is given",
    )


def why_not(edition: Edition) -> tuple[str, ...]:
    """Why a model that goes as ONNX has no TFLite beside it, and what would change that."""
    return (f"no {MODEL}: {_why_not(edition)}",)


def _why_not(edition: Edition) -> str:
    stated = edition.bundle.manifest
    source = str(stated.lineage.get("conversion", "")).partition(" to ")[0]
    if source in CONVERTIBLE:
        return f"the model was packed as ONNX. Pack the {source} file with --to keep, and it goes as TFLite instead"
    if b"TreeEnsemble" in edition.model:
        return "trees have no operators in TFLite. model.ort runs them as the server does"
    if any(field.datatype == "BYTES" for field in stated.signature.inputs):
        return "it takes texts, and TFLite has numbers alone. model.ort takes them as the server does"
    if read(edition.model).estimators:
        return "scikit-learn's models have no operators in TFLite. model.ort runs them as the server does"
    return (
        "nothing here makes TFLite of ONNX. Pack what it was made from (.keras, .h5 or a SavedModel with --to keep, or "
        "a .tflite file), and it goes as TFLite instead"
    )


def variants(bundle: Bundle) -> tuple[Variant, ...]:
    """What can be made of a model that is converted. A file that is TFLite already is as its maker left it."""
    if bundle.manifest.format == OWN:
        return ()

    def variant(name: Narrowed, *, rough: bool) -> Variant:
        return Variant(name, lambda _, rows: converted(bundle, name, rows), rough=rough)

    return variant("float16", rough=False), variant("int8", rough=True), variant("int8-static", rough=True)


def target(bundle: Bundle) -> Target:
    """The target for phones, of a bundle whose model is no ONNX."""
    return Target(
        "mobile", write, (partial(in_this_process, bundle),), sizes, runtimes, (unfit,), notes=notes,
        edition=edition_of, lite=True, variants=variants(bundle),
    )  # fmt: skip


FORMATS: Final = (OWN, *sorted(CONVERTIBLE))
"""What goes as TFLite."""
