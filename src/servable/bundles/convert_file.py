"""Packs a network's file as ONNX, where that is proven equal: it then runs in the doors, without its own library."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from servable.bundles import convert_text
from servable.bundles.choose import To
from servable.bundles.convert_network import CONVERTIBLE, to_onnx
from servable.bundles.draft import Draft
from servable.bundles.keep import as_stated, keep_file
from servable.bundles.prove_network import prove
from servable.bundles.sample import Sample
from servable.bundles.source import FileSource
from servable.bundles.tables import to_batch
from servable.bundles.write import write_bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.errors import ConversionRejected, InvalidInput, MissingExtra, UsageError
from servable.runtimes.find import runtime

logger = logging.getLogger("servable.pack")

MODEL: Final = "model.onnx"


def pack_file(source: FileSource, name: str, sample: Sample | None, to: To) -> Draft:
    """The draft of a model file's bundle: a network as ONNX where `to` says so, and the rest as it is.

    With `auto`, a conversion that cannot be made or is not proven equal is told, and the file is kept.
    """
    if source.format == convert_text.KIND and to == "onnx" and sample is None:
        return convert_text.draft(source, name)
    if to == "keep" or source.format not in CONVERTIBLE:
        return keep_file(source, name, sample, to)
    try:
        return convert_file(source, name, sample)
    except (ConversionRejected, MissingExtra) as error:
        if to == "onnx":
            raise
        logger.warning("%s is kept as it is: %s", name, error.message)
        draft = keep_file(source, name, sample, to)
        lineage = {**draft.manifest.lineage, "rejected": [error.message]}
        return Draft(msgspec.structs.replace(draft.manifest, lineage=lineage), draft.files)


def convert_file(source: FileSource, name: str, sample: Sample | None) -> Draft:
    """The draft of an ONNX bundle. Raises ConversionRejected, MissingExtra, UsageError for a sample that does not
    fit.
    """
    seen = source.seen
    try:
        rows = None if sample is None else to_batch(sample.table, seen.signature)
    except InvalidInput as error:
        raise UsageError(f"the sample does not fit the model file: {error.message}") from error
    data = to_onnx(source.format, source.path)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / MODEL).write_bytes(data)
        converted = FileSource(place / MODEL, "onnx", Inspection(seen.signature, seen.labels))
        with _loaded(source, place / "original") as original, _loaded(converted, place / "converted") as candidate:
            proof, signature = prove(original, candidate, seen.signature, rows)
        libraries = {**seen.libraries, "onnxruntime": version("onnxruntime")}
        proven = FileSource(place / MODEL, "onnx", Inspection(signature, seen.labels, libraries))
        draft = keep_file(proven, name, sample, "onnx")
    lineage = {**draft.manifest.lineage, "source": source.path.name, "conversion": f"{source.format} to ONNX"}
    manifest = msgspec.structs.replace(draft.manifest, lineage={**lineage, "proof": str(proof)})
    return Draft(manifest, {**draft.files, MODEL: data})


@contextlib.contextmanager
def _loaded(source: FileSource, place: Path) -> Iterator[Model]:
    """The model of a file, as a server would load it."""
    draft = as_stated(source, "compared", source.seen.signature)
    model = runtime(source.format).load(write_bundle(place, draft.manifest, draft.files))
    try:
        yield model
    finally:
        model.close()
