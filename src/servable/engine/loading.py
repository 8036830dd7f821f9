"""Loading: from a Target to a model that is ready to serve: opened, digest-checked, warmed up, measured, proven.

Runs on a thread of its own while the old version answers. Raises a ServableError that says what is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from servable.bundles.golden import golden_rows, prove_golden
from servable.bundles.guard import guard_of
from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.engine.cost import measure
from servable.engine.plan import Target
from servable.engine.policy import CostCurve
from servable.errors import BundleError, DigestMismatch
from servable.rules.guard import Guard
from servable.runtimes.find import runtime

UNMEASURED = CostCurve([(1, 0.001), (128, 0.128)])
"""For a bare model that fails on the plainest input its signature allows: calls go to the thread, and teach the
curve."""

logger = logging.getLogger("servable.engine")


class Loaded(NamedTuple):
    """A model that is ready to serve, as it comes from the thread that loaded it."""

    bundle: Bundle
    model: Model
    curve: CostCurve
    guard: Guard | None = None


def load(target: Target, *, warm_up: bool = True) -> Loaded:
    """Open, verify, load, warm up, measure and prove a target."""
    bundle = open_bundle(Path(target.source), name=target.name)
    if target.digest is not None and bundle.digest != target.digest:
        raise DigestMismatch(
            f"{target.name}:{target.version} at {target.source} has digest {bundle.digest}, registered was "
            f"{target.digest}: the bundle was changed after it was registered; pack it again"
        )
    guard = guard_of(bundle)
    model = runtime(bundle.manifest.format).load(bundle, target.device)
    try:
        prove_golden(bundle, model)
        curve = _warm(bundle, model) if warm_up else UNMEASURED
    except BaseException:
        model.close()
        raise
    return Loaded(bundle, model, curve, guard)


def unchanged(target: Target, digest: str) -> None:
    """Of a version that learns: raise DigestMismatch unless its bundle is the one that was loaded, by its digest. There
    is nothing to load anew then: its state is the fold of its journal, and no file's.
    """
    found = open_bundle(Path(target.source), name=target.name).digest
    if found != digest:
        raise DigestMismatch(
            f"{target.name}:{target.version} at {target.source} has digest {found}, loaded was {digest}: what a "
            "learner has learned belongs to what was loaded; pack the changed one as a new version or by another name"
        )


def _warm(bundle: Bundle, model: Model) -> CostCurve:
    """Measure on the bundle's own golden rows, or on the plainest rows that its signature allows.

    A packed bundle must manage that; a bare file's signature is a guess (an axis of any size may need a certain one).
    """
    example = _examples(bundle)
    try:
        faults = bundle.signature.check_outputs(model.predict(example(1)))
        if faults:
            raise BundleError(f"the model's answer breaks its own contract: {'; '.join(map(str, faults))}")
        return measure(model, example, batched=bundle.signature.batched)
    except Exception as error:  # the wall: a model may raise anything
        if not bundle.inferred:
            raise BundleError(f"the model fails on rows that its signature allows: {error}") from error
        logger.warning("%s was not warmed up: it fails on the plainest input that its signature allows", bundle.name)
        return UNMEASURED


def _examples(bundle: Bundle) -> Callable[[int], Batch]:
    rows = golden_rows(bundle)
    if rows is None or rows.rows == 0 or not bundle.signature.batched:
        return bundle.signature.example
    golden = rows

    def some(count: int) -> Batch:
        index = np.arange(count) % golden.rows
        return Batch({name: array[index] for name, array in golden.columns.items()}, count)

    return some
