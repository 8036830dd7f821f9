"""Keeps a model file as it is: what the file says of itself is the contract, and a sample must fit it."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import msgspec

from servable.bundles import digest
from servable.bundles.choose import To
from servable.bundles.draft import Draft, golden_of
from servable.bundles.elsewhere.process import Elsewhere
from servable.bundles.golden import GOLDEN, golden_bytes
from servable.bundles.infer import with_names
from servable.bundles.original import Original
from servable.bundles.sample import Sample
from servable.bundles.seen import with_sample
from servable.bundles.source import FileSource
from servable.bundles.tables import to_batch
from servable.bundles.write import write_bundle
from servable.domain.bundle import Manifest
from servable.domain.signature import Signature
from servable.errors import InvalidInput, UsageError
from servable.runtimes.find import runtime

logger = logging.getLogger("servable.pack")


def keep_booster(original: Original, name: str, sample: Sample | None, to: To) -> Draft:
    """A booster without an estimator around it: its file is all there is of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / original.file
        path.write_bytes(original.dumped())
        seen = runtime(original.format).inspect(path)
        draft = keep_file(FileSource(path, original.format, seen), name, sample, to)
        stated = msgspec.structs.replace(
            draft.manifest, libraries=original.libraries, lineage={"source": original.kind}
        )
        return Draft(stated, {**draft.files, original.file: path.read_bytes()})


def keep_file(source: FileSource, name: str, sample: Sample | None, to: To, there: Elsewhere | None = None) -> Draft:
    """A model file as it is: what it says of itself is the contract; the sample must fit it. `there`: where it is
    loaded and asked, if not here.
    """
    if to == "onnx" and source.format != "onnx":
        raise UsageError(f"a {source.format} file is kept as it is: to convert, pack the model object with a sample")
    signature = source.seen.signature
    if sample is not None and hasattr(sample.table, "columns"):
        signature = with_names(signature, tuple(sample.table.columns))
    draft = as_stated(source, name, signature)
    return _witnessed(draft, sample, there)


def as_stated(source: FileSource, name: str, signature: Signature) -> Draft:
    """The file and those beside it, with what it says of itself."""
    seen = source.seen
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
    files: dict[str, bytes | Path] = {**_files(source.path), **source.beside}
    files.update({other: source.path.parent / other for other in seen.files})
    return Draft(stated, files)


def _files(path: Path) -> dict[str, Path]:
    """The model's files by their place in the bundle: one, or all of a folder."""
    if path.is_file():
        return {path.name: path}
    return {file.relative_to(path.parent).as_posix(): file for file in digest.walk(path)}


def _witnessed(draft: Draft, sample: Sample | None, there: Elsewhere | None) -> Draft:
    """The draft with the model's answers to the sample, and what was seen in that; without one, with the answer to the
    plainest row, if the model answers that.
    """
    stated = draft.manifest
    with tempfile.TemporaryDirectory(dir=None if there is None else there.place) as folder:
        bundle = write_bundle(Path(folder) / "bundle", stated, draft.files)
        model = runtime(stated.format).load(bundle) if there is None else there.load(bundle)
        try:
            if sample is None:
                rows = stated.signature.example()
                return _with_golden(draft, golden_bytes(rows, model.predict(rows)))
            try:
                rows = to_batch(sample.table, stated.signature)
            except InvalidInput as error:
                raise UsageError(f"the sample does not fit the model file: {error.message}") from error
            if faults := stated.signature.check(rows):
                raise UsageError(f"the sample does not fit the model file: {'; '.join(map(str, faults))}")
            if not stated.signature.batched:
                return _with_golden(draft, golden_bytes(rows, model.predict(rows)))
            golden = golden_of(model, [("sample", rows)])
            return with_sample(_with_golden(draft, golden), sample, model)
        except UsageError:
            raise
        except Exception as error:
            if sample is not None:
                raise
            logger.info("%s has no golden rows: it does not answer the plainest one (%s)", stated.name, error)
            return draft
        finally:
            model.close()


def _with_golden(draft: Draft, golden: bytes) -> Draft:
    return Draft(msgspec.structs.replace(draft.manifest, golden=GOLDEN), {**draft.files, GOLDEN: golden})
