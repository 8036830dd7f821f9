"""Packs a model: the file that serves fastest among those proven to answer as the model does, with its contract.

A model object needs a sample of rows: its columns tell the contract, and its answers are the proof. A model file is
kept as it is. What was tried, what was rejected and why stands in the manifest's lineage.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from servable.bundles.bare import name_from
from servable.bundles.choose import To
from servable.bundles.convert_file import pack_file
from servable.bundles.environments import ENVIRONMENTS
from servable.bundles.keep_code import keep_code
from servable.bundles.lineage import lineage_of
from servable.bundles.mlflow import unwrapped
from servable.bundles.mlflow_origin import facts, papers
from servable.bundles.pack_foreign import Tell, pack_foreign
from servable.bundles.pack_object import pack_object
from servable.bundles.ruled import Rules, with_rules
from servable.bundles.sample import read_sample
from servable.bundles.seen import without_rows
from servable.bundles.source import CodeSource, FileSource, ForeignSource, Surroundings, source_of
from servable.bundles.write import write_bundle
from servable.domain import demand
from servable.domain.bundle import Bundle
from servable.domain.ref import NAME
from servable.errors import UsageError
from servable.runtimes.mlflow_folder import is_mlflow


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
    rules: Rules = (),
    calibrate: Any = None,
    reference: bool = True,
    parent: str | None = None,
    include: Sequence[Path | str] = (),
    requirements: Path | str | None = None,
    python: Path | str | None = None,
    home: Path | None = None,
    on_sandbox: Tell = lambda _: None,
) -> Bundle:
    """Make a bundle of a fitted model object, or of a model file.

    `sample`: rows like those of training (DataFrame, matrix, or a csv, parquet or arrow file), `label` its column to
    leave out. `to`: `auto` converts to ONNX where that is proven equal and keeps the model's own file otherwise,
    `onnx` insists, `keep` does not convert. `output`: the bundle's folder; by default one under SERVABLE_HOME, named by
    its digest.
    `format` names a file's runtime instead of recognising it. `allow_unsafe` consents to open a file that runs
    code as it is opened, in a sandboxed process; `on_sandbox` is told the layers of that. A model object is the
    caller's own, and asked here. `checks` (`"accuracy>=0.9"`) are kept for the release gate.
    Of a model that is code, and kept as that: `include` names files that lie beside it in the bundle (modules that it
    imports, data; of pickles, the transformers that come first), `requirements` a file of the libraries it runs on, in
    an environment of its own (made under `home`, by default SERVABLE_HOME), `python` the interpreter that has them.
    `rules`: a TOML file of them, or the rules; `calibrate`: rows with their `label` that the model was not trained on,
    for those that need prediction intervals.
    `reference`: whether up to 2,000 rows of the sample stay in the bundle, for data-edge tests and drift. `parent`: the
    version that this one was made from, for its lineage.

    Raises UsageError, UnknownFormat, UnsafeModel, ConversionRejected, CorruptModel, MissingExtra, Conflict.
    """
    if to not in ("auto", "onnx", "keep"):
        raise UsageError(f"to={to!r}: expected 'auto', 'onnx' or 'keep'")
    for check in checks:
        demand.parse(check)
    around = Surroundings(
        tuple(map(Path, include)), *(None if path is None else Path(path) for path in (requirements, python))
    )
    path = Path(model) if isinstance(model, (str, Path)) else None
    of_mlflow = path if path is not None and is_mlflow(path) else None
    if of_mlflow is not None:
        model, sample = unwrapped(of_mlflow, sample)
    source = source_of(model, format, allow_unsafe=allow_unsafe, around=around, keep=to == "keep")
    name = name or (name_from(path.stem) if path is not None else None)
    if name is None or not NAME.fullmatch(name):
        raise UsageError(f"name={name!r}: expected letters, digits, '_', '.' and '-', starting with a letter or digit")
    rows = None if sample is None else read_sample(sample, label)
    home = home or Path(os.environ.get("SERVABLE_HOME", "~/.servable")).expanduser()
    if isinstance(source, CodeSource):
        packed = keep_code(source, name, rows, to, home / ENVIRONMENTS, on_sandbox)
    elif isinstance(source, ForeignSource):
        packed = pack_foreign(source, name, rows, to, on_sandbox)
    elif isinstance(source, FileSource):
        packed = pack_file(source, name, rows, to)
    else:
        packed = pack_object(source, name, rows, to)
    if rules:
        packed = with_rules(packed, rules, calibrate=calibrate, label=label, environments=home / ENVIRONMENTS)
    if not reference:
        packed = without_rows(packed)
    lineage = packed.manifest.lineage | lineage_of(getattr(source, "model", model), sample, rows, parent)
    if of_mlflow is not None:
        packed.files.update(papers(of_mlflow))
        lineage["mlflow"] = facts(of_mlflow)
    checks = tuple(check.strip() for check in checks)
    stated = msgspec.structs.replace(packed.manifest, checks=checks, lineage=lineage)
    if output is not None:
        return write_bundle(Path(output), stated, packed.files)
    return write_bundle(home / "bundles", stated, packed.files, by_digest=True)
