"""Keeps a model that is code: opened once, by consent, in a process of its own and on its own libraries, to learn its
contract and its answers; then kept with what it needs around it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.bundles.candidates import taken_by_estimator
from servable.bundles.choose import To
from servable.bundles.draft import Draft
from servable.bundles.elsewhere.process import Elsewhere
from servable.bundles.environments import build
from servable.bundles.infer import with_names
from servable.bundles.keep import keep_file
from servable.bundles.prove import ask, contract
from servable.bundles.sample import Sample
from servable.bundles.source import CodeSource, FileSource, Surroundings
from servable.bundles.tables import to_batch
from servable.bundles.write import write_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import Manifest
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import UsageError
from servable.runtimes import consent
from servable.runtimes.find import runtime

REQUIREMENTS: Final = "requirements.txt"
TAKE_MISSING: Final = frozenset({"FP32", "FP64", "BYTES"})


def keep_code(
    source: CodeSource,
    name: str,
    sample: Sample | None,
    to: To,
    environments: Path,
    tell: Callable[[tuple[str, ...]], Any],
) -> Draft:
    """The draft of a bundle with consent in it. `environments`: where they are made; `tell` is told the layers of the
    sandbox.

    Raises UsageError, EnvironmentFault, and what opening the model raises.
    """
    if to == "onnx":
        raise UsageError("a model that is code and runs on libraries of its own is kept as it is: --to keep")
    around = source.around
    beside = {path.name: path.resolve() for path in around.include}
    if len(beside) < len(around.include) or source.path.name in beside:
        raise UsageError("two of the files have the same name: in the bundle they lie beside each other")
    known, rows = _told(source, sample)
    plugin = runtime(source.format)
    with Elsewhere(source.path.name, (), plugin, _python(around, environments)) as there:
        tell(there.layers)
        place = there.place / "opened"
        place.mkdir()
        for file_name, path in {source.path.name: source.path, **beside}.items():
            _copy(path, place / file_name)
        seen = there.declared(source.format, place / source.path.name, known, rows)
        if known is not None and known.signature.inputs and sample is not None:
            if hasattr(sample.table, "columns"):
                seen = msgspec.structs.replace(seen, signature=with_names(seen.signature, tuple(sample.table.columns)))
            seen = _limited(there, source, seen, {source.path.name: source.path, **beside}, sample)
        options: dict[str, Any] = {**seen.options}
        if getattr(plugin, "code", True):
            options[consent.ALLOW] = True
        if around.requirements is not None:
            options["requirements"] = REQUIREMENTS
            beside[REQUIREMENTS] = around.requirements.resolve()
        elif around.python is not None:
            options["python"] = str(around.python.absolute())
        stated = msgspec.structs.replace(seen, options=options)
        return keep_file(FileSource(source.path, source.format, stated, beside), name, sample, to, there)


def _told(source: CodeSource, sample: Sample | None) -> tuple[Inspection | None, Batch | None]:
    """What the sample says of the inputs, and its rows; and which files lie beside the model."""
    options: dict[str, Any] = {"include": [path.name for path in source.around.include]}
    if sample is None:
        return (Inspection(Signature((), ()), options=options), None) if source.around.include else (None, None)
    if isinstance(sample.table, dict):
        return Inspection(Signature((), ()), options=options), Batch(sample.table, 1)
    inputs, taken = taken_by_estimator(sample.table, flat=sample.flat)
    signature = Signature(inputs, ())
    return Inspection(signature, options={**options, **taken}), to_batch(sample.table, signature)


def _limited(
    there: Elsewhere, source: CodeSource, seen: Inspection, files: Mapping[str, Path], sample: Sample
) -> Inspection:
    """The contract with what the model itself teaches of its limits: where it takes a missing value, and where not."""
    open_ = tuple(
        msgspec.structs.replace(field, values="missing") if field.datatype in TAKE_MISSING else field
        for field in seen.signature.inputs
    )
    signature = msgspec.structs.replace(seen.signature, inputs=open_)
    stated = Manifest(
        name="asked", format=source.format, model=source.path.name, platform="", signature=signature, files=(),
        libraries=seen.libraries, options={**seen.options, consent.ALLOW: True},
    )  # fmt: skip
    model = there.load(write_bundle(there.place / "limits", stated, files))
    asked = ask(lambda table: dict(model.predict(to_batch(table, signature)).columns), sample.table)
    inputs = contract(seen.signature.inputs, asked, {})
    return msgspec.structs.replace(seen, signature=msgspec.structs.replace(seen.signature, inputs=inputs))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _python(around: Surroundings, environments: Path) -> Path | None:
    if around.requirements is not None:
        return build(around.requirements, environments)
    return around.python
