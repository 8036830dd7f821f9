"""Packs a model: the file that serves fastest among those proven to answer as the model does, with its contract.

A model object needs a sample of rows: its columns tell the contract, and its answers are the proof. A model file is
kept as it is. What was tried, what was rejected and why stands in the manifest's lineage.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from servable.bundles import candidates, manifest
from servable.bundles.candidates import Candidate
from servable.bundles.golden import GOLDEN, golden_bytes
from servable.bundles.infer import columns_of
from servable.bundles.open import name_from
from servable.bundles.original import Original
from servable.bundles.prove import Asked, Proof, ask, prove, sendable
from servable.bundles.sample import Sample, read_sample
from servable.bundles.source import FileSource, source_of
from servable.bundles.tables import in_order, to_batch
from servable.bundles.write import write_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.ref import NAME
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, InvalidInput, UsageError
from servable.runtimes.estimator import output_fields
from servable.runtimes.find import runtime

To = Literal["auto", "onnx", "keep"]

GOLDEN_ROWS: Final = {"sample": 8, "mixed": 2, "boundary": 4, "extreme": 4, "missing": 2, "unseen": 2}
GOLDEN_CELLS: Final = 200_000
_CHECK: Final = re.compile(r"[a-z][a-z0-9_]*\s*(>=|<=|>|<|==)\s*-?\d+(\.\d+)?")

logger = logging.getLogger("servable.pack")


class Packed(msgspec.Struct, frozen=True):
    """What is about to be written: the manifest, and the files by their path in the bundle."""

    manifest: Manifest
    files: dict[str, bytes | Path]


def pack(  # noqa: PLR0913 - the one call users make: every choice is a name
    model: Any,
    *,
    name: str | None = None,
    sample: Any = None,
    label: str | None = None,
    output: Path | str | None = None,
    format: str | None = None,  # noqa: A002 - the word of `--format`, and of the manifest
    to: To = "auto",
    allow_unsafe: bool = False,
    checks: Sequence[str] = (),
) -> Bundle:
    """Make a bundle of a fitted model object, or of a model file.

    `sample`: rows like those of training (DataFrame, matrix, or a csv, parquet or arrow file), `label` its column to
    leave out. `to`: `auto` converts to ONNX where that is proven equal and keeps the model's own file otherwise,
    `onnx` insists,
    `keep` does not convert. `output`: the bundle's folder; by default one under SERVABLE_HOME, named by its digest.
    `format` names a file's runtime instead of recognising it. `allow_unsafe` consents to open a pickle, which may run
    code, here and now; what is written never does. `checks` (`"accuracy>=0.9"`) are kept for the release gate.

    Raises UsageError, UnknownFormat, UnsafeModel, ConversionRejected, CorruptModel, MissingExtra, Conflict.
    """
    if to not in ("auto", "onnx", "keep"):
        raise UsageError(f"to={to!r}: expected 'auto', 'onnx' or 'keep'")
    for check in checks:
        if not _CHECK.fullmatch(check.strip()):
            raise UsageError(f"check {check!r}: expected a number to compare with, like 'accuracy>=0.9'")
    source = source_of(model, format, allow_unsafe=allow_unsafe)
    name = name or (name_from(Path(model).stem) if isinstance(model, (str, Path)) else None)
    if name is None or not NAME.fullmatch(name):
        raise UsageError(f"name={name!r}: expected letters, digits, '_', '.' and '-', starting with a letter or digit")
    rows = None if sample is None else read_sample(sample, label)
    if isinstance(source, FileSource):
        packed = _keep_file(source, name, rows, to)
    elif source.answer is None:
        packed = _keep_booster(source, name, rows, to)
    elif rows is None:
        raise UsageError(
            "a model object is packed with a sample of rows, like sample=X_train: their columns are the contract, and "
            "the model's answers to them the proof"
        )
    else:
        packed = _choose(source, name, rows, to)
    stated = msgspec.structs.replace(packed.manifest, checks=tuple(check.strip() for check in checks))
    if output is not None:
        return write_bundle(Path(output), stated, packed.files)
    home = Path(os.environ.get("SERVABLE_HOME", "~/.servable")).expanduser()
    return write_bundle(home / "bundles", stated, packed.files, by_digest=True)


def _choose(original: Original, name: str, sample: Sample, to: To) -> Packed:
    """The first candidate that proves equal to the original."""
    table = in_order(sample.table, original.model)
    columns_of(table)  # raises for a column that cannot travel, before anything is tried
    original = original.of_texts() if sample.flat else original
    asked = ask(original.asked, table)
    rejected: list[str] = []
    for candidate in _candidates(original, table, asked, to):
        if isinstance(candidate, ConversionRejected):
            rejected.append(candidate.message)
            continue
        try:
            return _proven(candidate, original, name, asked, rejected)
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


def _proven(candidate: Candidate, original: Original, name: str, asked: list[Asked], rejected: list[str]) -> Packed:
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
            golden = _golden(model, sendable(asked, signature))
        finally:
            model.close()
    converted = candidate.format != original.format
    if rejected and not converted:
        logger.warning("%s is kept as it is: %s", name, "; ".join(rejected))
    lineage = _lineage(original, candidate.name if converted else "", proof, rejected)
    whole = msgspec.structs.replace(stated, signature=signature, golden=GOLDEN, lineage=lineage)
    return Packed(whole, {candidate.file: candidate.data, GOLDEN: golden})


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
        labels={field.name: field.features for field in signature.outputs if field.features},
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


def _golden(model: Model, rows: list[tuple[str, Batch]]) -> bytes:
    """Some rows of every kind with the model's own answers."""
    chosen = []
    for kind, count in GOLDEN_ROWS.items():
        batches = [batch for its, batch in rows if its == kind]
        if batches:
            every = Batch.join(batches)
            index = np.unique(np.linspace(0, every.rows - 1, min(count, every.rows)).astype(int))
            chosen.append(Batch({name: array[index] for name, array in every.columns.items()}, len(index)))
    batch = Batch.join(chosen)
    cells = sum(array.size for array in batch.columns.values())
    if cells > GOLDEN_CELLS:
        batch = batch.slice(0, max(1, batch.rows * GOLDEN_CELLS // cells))
    return golden_bytes(batch, model.predict(batch))


def _keep_booster(original: Original, name: str, sample: Sample | None, to: To) -> Packed:
    """A booster without an estimator around it: its file is all there is of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / original.file
        path.write_bytes(original.dumped())
        seen = runtime(original.format).inspect(path)
        packed = _keep_file(FileSource(path, original.format, seen), name, sample, to)
        stated = msgspec.structs.replace(
            packed.manifest, libraries=original.libraries, lineage={"source": original.kind}
        )
        return Packed(stated, {**packed.files, original.file: path.read_bytes()})


def _keep_file(source: FileSource, name: str, sample: Sample | None, to: To) -> Packed:
    """A model file as it is: what it says of itself is the contract; the sample must fit it."""
    if to == "onnx" and source.format != "onnx":
        raise UsageError(f"a {source.format} file is kept as it is: to convert, pack the model object with a sample")
    seen = source.seen
    signature = seen.signature
    if sample is not None and hasattr(sample.table, "columns"):
        signature = _with_names(signature, tuple(sample.table.columns))
    stated = Manifest(
        name=name,
        format=source.format,
        model=source.path.name,
        platform=runtime(source.format).platform,
        signature=signature,
        files=(),
        labels=seen.labels,
        libraries=seen.libraries,
        options=seen.options,
        lineage={"source": source.path.name},
    )
    files: dict[str, bytes | Path] = {source.path.name: source.path}
    files.update({other: source.path.parent / other for other in seen.files})
    golden = _file_golden(stated, files, sample)
    if golden is None:
        return Packed(stated, files)
    return Packed(msgspec.structs.replace(stated, golden=GOLDEN), {**files, GOLDEN: golden})


def _with_names(signature: Signature, names: tuple[str, ...]) -> Signature:
    """The signature with the sample's column names on its one matrix, where the file has none and they are as many."""
    only = signature.inputs[0]
    if len(signature.inputs) > 1 or only.features or only.shape != (-1, len(names)) or len(names) == 1:
        return signature
    return msgspec.structs.replace(signature, inputs=(msgspec.structs.replace(only, features=names),))


def _file_golden(stated: Manifest, files: dict[str, bytes | Path], sample: Sample | None) -> bytes | None:
    """The model's answers to the sample; without one, to the plainest row, if it answers that."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "bundle", stated, files)
        manifest.loads((bundle.folder / "manifest.toml").read_bytes())
        model = runtime(stated.format).load(bundle)
        try:
            if sample is None:
                rows = stated.signature.example()
                return golden_bytes(rows, model.predict(rows))
            try:
                rows = to_batch(sample.table, stated.signature)
            except InvalidInput as error:
                raise UsageError(f"the sample does not fit the model file: {error.message}") from error
            if faults := stated.signature.check(rows):
                raise UsageError(f"the sample does not fit the model file: {'; '.join(map(str, faults))}")
            return _golden(model, [("sample", rows)])
        except UsageError:
            raise
        except Exception as error:
            if sample is not None:
                raise
            logger.info("%s has no golden rows: it does not answer the plainest one (%s)", stated.name, error)
            return None
        finally:
            model.close()
