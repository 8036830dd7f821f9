"""Gives a bundle rules: what they learn is fitted, all are held against the contract, and the bundle is another one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from servable.bundles.draft import Draft
from servable.bundles.guard import guard_of
from servable.bundles.infer import column_fields
from servable.bundles.manifest import loads_rules
from servable.bundles.open_model import open_model
from servable.bundles.profile import read_reference
from servable.bundles.sample import read_sample
from servable.bundles.tables import column, to_batch
from servable.bundles.write import write_bundle
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.rule import Rule
from servable.errors import BundleError, UsageError, unreadable
from servable.rules.calibration import CALIBRATION, Calibration, calibration_bytes
from servable.rules.compile import BadRule
from servable.rules.fit import fit

Rules = Path | str | Sequence[Rule | Mapping[str, Any]]
"""A TOML file of `[[rules]]`, or the rules themselves."""


def read_rules(rules: Rules) -> tuple[Rule, ...]:
    """Rules from a file or from memory. Raises UsageError that names the rule and the key, EnvironmentFault."""
    try:
        if isinstance(rules, (str, Path)):
            path = Path(rules)
            return loads_rules(path.read_bytes(), path.name)
        return tuple(rule if isinstance(rule, Rule) else msgspec.convert(rule, Rule) for rule in rules)
    except OSError as error:
        raise unreadable(rules, error, "the rules") from error
    except BundleError as error:
        raise UsageError(error.message) from error
    except msgspec.ValidationError as error:
        raise UsageError(f"rules: {error}") from error


def with_rules(
    draft: Draft, rules: Rules, *, calibrate: Any = None, label: str | None = None, environments: Path | None = None
) -> Draft:
    """The draft with rules in the place of its own. Distances are fitted to its reference sample.

    `calibrate`: rows with their true outcomes in the column `label`, that the model was not trained on: a DataFrame or
    a file; for rules with an interval. `environments` as in `open_model`, which is then called.

    Raises UsageError, MissingExtra, and what loading the model raises.
    """
    found = read_rules(rules)
    with tempfile.TemporaryDirectory() as folder:
        bare = msgspec.structs.replace(draft.manifest, rules=(), calibration=None)
        files = {path: content for path, content in draft.files.items() if path != draft.manifest.calibration}
        bundle = write_bundle(Path(folder) / "bare", bare, files)
        reference = read_reference(bundle) if any(rule.distance for rule in found) else None
        calibrating = None if calibrate is None else _answered(bundle, calibrate, label, environments)
        try:
            fitted = fit(found, bundle.signature, None if reference is None else reference.inputs, calibrating)
            stated = msgspec.structs.replace(bare, rules=found)
            if fitted != Calibration():
                stated = msgspec.structs.replace(stated, calibration=CALIBRATION)
                files[CALIBRATION] = calibration_bytes(fitted)
            guard_of(write_bundle(Path(folder) / "ruled", stated, files))
        except BadRule as error:
            raise UsageError(str(error)) from error
        except BundleError as error:
            raise UsageError(error.message) from error
    return Draft(stated, files)


def ruled(
    bundle: Bundle,
    rules: Rules,
    output: Path,
    *,
    calibrate: Any = None,
    label: str | None = None,
    environments: Path | None = None,
    parent: str | None = None,
) -> Bundle:
    """A bundle like another, with these rules, in the folder `output`; `parent` is the version that it comes from, for
    its lineage. Raises as `with_rules`, Conflict.
    """
    files: dict[str, bytes | Path] = {file.path: bundle.folder / file.path for file in bundle.manifest.files}
    draft = with_rules(
        Draft(bundle.manifest, files), rules, calibrate=calibrate, label=label, environments=environments
    )
    stated = draft.manifest
    if parent is not None:
        stated = msgspec.structs.replace(stated, lineage={**stated.lineage, "parent": parent})
    return write_bundle(output, stated, draft.files)


def _answered(bundle: Bundle, calibrate: Any, label: str | None, environments: Path | None) -> tuple[Batch, Array]:
    """The model's answers to the calibration rows, and the outcomes."""
    if label is None:
        raise UsageError("calibration rows need their true outcomes: name that column with label=")
    sample = read_sample(calibrate, label)
    rows = to_batch(sample.whole, bundle.signature)
    if faults := bundle.signature.check(rows):
        raise UsageError(f"the calibration rows break the contract: {'; '.join(map(str, faults))}")
    (field,) = column_fields(sample.whole_labels.to_frame(label), "FP64")
    model = open_model(bundle.folder, environments).model
    try:
        return model.predict(rows), np.asarray(column(sample.whole_labels, field))
    finally:
        model.close()
