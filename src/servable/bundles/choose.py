"""Chooses the form that a model object is packed in: the first candidate that proves to answer as the object does."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec

from servable.bundles import candidates
from servable.bundles.candidates import Candidate
from servable.bundles.draft import Draft, golden_of
from servable.bundles.golden import GOLDEN
from servable.bundles.infer import columns_of
from servable.bundles.original import Original
from servable.bundles.prove import Asked, Proof, ask, prove, sendable
from servable.bundles.sample import Sample
from servable.bundles.seen import with_sample
from servable.bundles.tables import in_order
from servable.bundles.write import write_bundle
from servable.domain.bundle import Manifest
from servable.domain.field import Field
from servable.domain.runtime import labels_of
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, UsageError
from servable.runtimes.estimator import output_fields
from servable.runtimes.find import runtime

To = Literal["auto", "onnx", "keep"]

logger = logging.getLogger("servable.pack")


def choose(original: Original, name: str, sample: Sample, to: To) -> Draft:
    """The first candidate that proves equal to the original. Raises ConversionRejected, UsageError."""
    table = in_order(sample.table, original.model)
    columns_of(table)  # raises for a column that cannot travel, before anything is tried
    original = original.of_texts() if sample.flat else original
    try:
        asked = ask(original.asked, table)
    except Exception as error:
        raise UsageError(f"the model does not answer its own sample: {error}") from error
    rejected: list[str] = []
    for candidate in _candidates(original, table, asked, to):
        if isinstance(candidate, ConversionRejected):
            rejected.append(candidate.message)
            continue
        try:
            return _proven(candidate, original, name, sample, asked, rejected)
        except ConversionRejected as error:
            rejected.append(f"{candidate.name}: {error.message}")
    raise ConversionRejected(
        f"no form of this {type(original.model).__name__} answers as it does: {'; '.join(rejected)}", attempts=rejected
    )


def _candidates(original: Original, table: Any, asked: list[Asked], to: To) -> Iterator[Candidate | ConversionRejected]:
    if to in ("auto", "onnx"):
        yield from candidates.converted(original, table, asked)
    if to in ("auto", "keep"):
        yield candidates.own(original, table, asked)


def _proven(
    candidate: Candidate, original: Original, name: str, sample: Sample, asked: list[Asked], rejected: list[str]
) -> Draft:
    """Load a candidate as a server would, prove it, and describe the bundle. Raises ConversionRejected."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / candidate.file).write_bytes(candidate.data)
        outputs = _outputs(candidate, original, asked, place / candidate.file)
        stated = _manifest(candidate, original, name, Signature(candidate.inputs, outputs))
        model = runtime(candidate.format).load(write_bundle(place / "bundle", stated, {candidate.file: candidate.data}))
        try:
            proof, inputs = prove(model.predict, candidate.inputs, asked)
            signature = Signature(inputs, outputs)
            golden = golden_of(model, sendable(asked, signature))
            known = with_sample(Draft(msgspec.structs.replace(stated, signature=signature), {}), sample, model)
        finally:
            model.close()
    converted = candidate.format != original.format
    if rejected and not converted:
        logger.warning("%s is kept as it is: %s", name, "; ".join(rejected))
    lineage = _lineage(original, candidate.name if converted else "", proof, rejected)
    whole = msgspec.structs.replace(known.manifest, golden=GOLDEN, lineage=lineage)
    return Draft(whole, {candidate.file: candidate.data, GOLDEN: golden, **known.files})


def _outputs(candidate: Candidate, original: Original, asked: list[Asked], path: Path) -> tuple[Field, ...]:
    """The outputs of the candidate, its numbers for each class named by it."""
    answer = asked[0].answer
    if candidate.format in {"sklearn", "lightgbm"} and answer is not None:
        return output_fields(answer, original.classes)
    found = runtime(candidate.format).inspect(path).signature.outputs
    width = len(original.classes)
    return tuple(
        msgspec.structs.replace(field, features=original.classes)
        if width and field.shape == (-1, width) and field.datatype in {"FP32", "FP64"}
        else field
        for field in found
    )


def _manifest(candidate: Candidate, original: Original, name: str, signature: Signature) -> Manifest:
    libraries = dict(original.libraries)
    if candidate.format == "onnx":
        libraries["onnxruntime"] = version("onnxruntime")
    return Manifest(
        name=name,
        format=candidate.format,
        model=candidate.file,
        platform=runtime(candidate.format).platform,
        signature=signature,
        files=(),
        labels=labels_of(signature.outputs),
        libraries=libraries,
        options=candidate.options,
    )


def _lineage(original: Original, conversion: str, proof: Proof, rejected: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"source": original.kind, "proof": str(proof)}
    if conversion:
        found["conversion"] = conversion
    if rejected:
        found["rejected"] = rejected
    return found
