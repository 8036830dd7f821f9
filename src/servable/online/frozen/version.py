"""A version of what a learner has learned, as ONNX: proven on what it learned from, and on rows made to part them."""

from __future__ import annotations

import tempfile
from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from servable.bundles.draft import golden_of
from servable.bundles.golden import GOLDEN
from servable.bundles.prove_network import prove
from servable.bundles.write import write_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.model import Learner
from servable.online.event import Examples, batch_of
from servable.online.frozen.convert import to_onnx
from servable.online.frozen.weighted import MISSING
from servable.online.journal import read
from servable.runtimes.find import runtime

FORMAT: Final = "onnx"
MODEL: Final = "model.onnx"
ROWS: Final = 1000
"""The last examples of a journal: those on which the two are held against each other."""


def frozen(bundle: Bundle, learner: Learner, rows: Batch, output: Path, **lineage: object) -> Bundle:
    """The bundle in the folder `output`, which answers what the learner answers now. `rows`: some that it learned from.

    What is demanded of the learner's version, its rules and its profile are those of this one. Raises
    ConversionRejected that says what stands in the way, or where the two part; MissingExtra.
    """
    old = bundle.manifest
    inputs = tuple(field for field in old.signature.inputs if field.content != "target")
    signature = msgspec.structs.replace(old.signature, inputs=inputs)
    rows = Batch({field.name: rows[field.name] for field in inputs}, rows.rows)
    data = to_onnx(learner, signature)
    texts = any(field.datatype == "BYTES" for field in inputs)
    stated = msgspec.structs.replace(
        old, format=FORMAT, model=MODEL, platform=runtime(FORMAT).platform, signature=signature, golden=None,
        options={"missing_text": MISSING} if texts else {},
        libraries={**old.libraries, "onnxruntime": version("onnxruntime")},
    )  # fmt: skip
    beside = [path for path in (old.profile, old.reference, old.calibration) if path]
    files: dict[str, bytes | Path] = {path: bundle.folder / path for path in beside} | {MODEL: data}
    stated = _proven(stated, files, learner, rows)
    whole = {**stated.lineage, **lineage, "conversion": f"{old.format} to ONNX"}
    files[GOLDEN] = golden_of(learner, [("sample", rows)])
    return write_bundle(output, msgspec.structs.replace(stated, golden=GOLDEN, lineage=whole), files)


def _proven(stated: Manifest, files: dict[str, bytes | Path], learner: Learner, rows: Batch) -> Manifest:
    """The manifest with its proof, and the contract that holds."""
    with tempfile.TemporaryDirectory(prefix="servable-frozen-") as scratch:
        model = runtime(FORMAT).load(write_bundle(Path(scratch) / "bundle", stated, files))
        try:
            proof, signature = prove(learner, model, stated.signature, rows)
        finally:
            model.close()
    return msgspec.structs.replace(stated, signature=signature, lineage={**stated.lineage, "proof": str(proof)})


def last_rows(journal: Path, offset: int) -> Batch:
    """The last examples in a journal before an offset."""
    held: deque[Batch] = deque()
    count = 0
    for entry in read(journal):
        if entry.after > offset:
            break
        if isinstance(entry.event, Examples):
            held.append(batch_of(entry.event.columns))
            count += held[-1].rows
            while count - held[0].rows >= ROWS:
                count -= held.popleft().rows
    return Batch.join(list(held))
