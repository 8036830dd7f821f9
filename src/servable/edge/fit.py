"""Fits a model to a device: makes its variants, measures each beside the original, takes the one that is allowed.

What is measured: bytes, what gzip leaves of them, the time of an answer on the device, the loss on the same rows, and
what the gate says. What is allowed is for `policy.py` to judge.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from servable.bundles.difference import ABSOLUTE
from servable.bundles.golden import golden_rows
from servable.bundles.profile import read_reference
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.verdict import Verdict
from servable.edge.edition import ORIGINAL, Edition
from servable.edge.loss import Loss, losses
from servable.edge.policy import Candidate, Limits, choose
from servable.edge.variants import VARIANTS, Variant
from servable.errors import CheckFailed, MissingExtra, ServableError, UsageError

MOST_ROWS: Final = 500
AT_ONCE: Final = 64
NO_ROWS: Final = Batch({}, 0)
"""To calibrate by, where rows are texts and the model takes their tokens."""

Judge = Callable[[Bundle, Model], Sequence[Verdict]]
"""The gate, asked of a variant: whoever exports brings it."""
Timer = Callable[[Edition], float | None]
"""The milliseconds of an answer on the device."""


class Fit(msgspec.Struct, frozen=True):
    """What is asked: limits, and rows to measure on and calibrate by (else the bundle's own)."""

    limits: Limits = Limits()
    rows: Batch | None = None
    judge: Judge | None = None


class Measured(msgspec.Struct, frozen=True):
    """A line of the table. `fault`: why it is no candidate; `reason`: why it was not taken, empty of the chosen one."""

    variant: str
    lossy: bool
    bytes: int
    gzipped: int
    loss: float
    losses: tuple[Loss, ...] = ()
    latency_ms: float | None = None
    metrics: dict[str, float] = {}
    fault: str = ""
    reason: str = ""

    def candidate(self) -> Candidate:
        """What the policy looks at."""
        return Candidate(self.variant, self.bytes, self.lossy, self.loss, self.latency_ms, self.fault)


def fitted(
    edition: Edition, fit: Fit, timed: Timer, variants: Sequence[Variant] = VARIANTS
) -> tuple[Edition, tuple[Measured, ...]]:
    """The edition that is allowed, and what was measured of all. Raises CheckFailed that says what speaks
    against each, UsageError where there are no rows to measure on, or nothing to make variants of.
    """
    if not variants:
        raise UsageError(
            "a TFLite file is as its maker left it, and no variants are made of it: pack what it was made from (a "
            "Keras file or a SavedModel, with --to keep), or leave out --fit and limits"
        )
    known = (ORIGINAL, *(variant.name for variant in variants))
    if fit.limits.named is not None and fit.limits.named not in known:
        raise UsageError(f"there is no variant {fit.limits.named!r}: expected one of {', '.join(known)}")
    rows = _rows(edition.bundle, fit.rows)
    model = edition.opened()
    try:
        expected = _answers(model, rows)
        table = [(edition, _measured(edition, model, Batch(expected.columns), expected, fit, timed))]
    finally:
        model.close()
    for variant in variants:
        if fit.limits.named in {None, variant.name}:
            table += _tried(variant, edition, rows, expected, fit, timed)
    choice = choose(tuple(measured.candidate() for _, measured in table), fit.limits)
    told = tuple(
        msgspec.structs.replace(measured, reason=choice.reasons.get(measured.variant, "")) for _, measured in table
    )
    if choice.name is None:
        against = "; ".join(f"{name}: {reason}" for name, reason in choice.reasons.items())
        raise CheckFailed(f"no variant of {edition.bundle.name!r} is allowed. {against}. Allow more: --max-bytes, "
                          "--max-latency, --max-loss", table=msgspec.to_builtins(told))  # fmt: skip
    return next(made for made, _ in table if made.variant == choice.name), told


def _tried(
    variant: Variant, edition: Edition, rows: Batch, expected: Batch, fit: Fit, timed: Timer
) -> Iterator[tuple[Edition, Measured]]:
    """The variant and what was measured of it; nothing where it would be the model itself."""
    try:
        data = variant.make(edition.model, rows if edition.texts is None else NO_ROWS)
    except MissingExtra:
        raise
    except Exception as error:  # noqa: BLE001 - a wall: the libraries raise anything for what they cannot change
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        yield edition, Measured(variant.name, variant.lossy, 0, 0, 1.0, fault=f"it cannot be made: {reason}")
        return
    if data is None:
        return
    made = msgspec.structs.replace(edition, model=data, variant=variant.name, alone=variant.alone or edition.alone)
    try:
        model = made.opened()
        try:
            found = _measured(made, model, _answers(model, rows), expected, fit, timed, lossy=variant.lossy)
        finally:
            model.close()
    except ServableError as error:
        yield made, _sized(made, lossy=variant.lossy, fault=f"it does not run: {error.message}")
        return
    if variant.rough:
        farthest = max((each.largest for each in found.losses if each.largest is not None), default=0.0)
        made = msgspec.structs.replace(made, absolute=max(ABSOLUTE, farthest))
    yield made, found


def _measured(
    edition: Edition, model: Model, answers: Batch, expected: Batch, fit: Fit, timed: Timer, *, lossy: bool = False
) -> Measured:
    found = losses(expected, answers, edition.bundle.signature)
    verdicts = [] if fit.judge is None else fit.judge(edition.bundle, model)
    refused = [f"{verdict.check}: {verdict.reason}" for verdict in verdicts if not verdict.passed]
    return msgspec.structs.replace(
        _sized(edition, f"the gate refuses it: {'; '.join(refused)}" if refused else "", lossy=lossy),
        loss=max((each.loss for each in found), default=0.0),
        losses=found,
        metrics=_metrics(verdicts),
        latency_ms=timed(edition),
    )


def _sized(edition: Edition, fault: str = "", *, lossy: bool) -> Measured:
    zipped = len(gzip.compress(edition.model, 6, mtime=0))
    return Measured(edition.variant, lossy, len(edition.model), zipped, 1.0, fault=fault)


def _metrics(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """What the gate measured: of a demand its value, of the usual metrics all."""
    found: dict[str, float] = {}
    for verdict in verdicts:
        if "value" in verdict.numbers:
            found[verdict.check] = verdict.numbers["value"]
        elif verdict.check == "metrics":
            found |= {name: value for name, value in verdict.numbers.items() if name != "rows"}
    return found


def _rows(bundle: Bundle, given: Batch | None) -> Batch:
    """Rows to measure on: those given, else those that the bundle was packed with."""
    if given is None:
        reference = read_reference(bundle)
        given = golden_rows(bundle) if reference is None else reference.inputs
    if given is None or not given.rows:
        raise UsageError(
            f"{bundle.name!r} holds no rows to measure its variants on: give some with --data FILE, or pack it with a "
            "sample"
        )
    return given.slice(0, min(given.rows, MOST_ROWS))


def _answers(model: Model, rows: Batch) -> Batch:
    """What the model answers, its input in parts."""
    parts = [rows.slice(start, min(start + AT_ONCE, rows.rows)) for start in range(0, rows.rows, AT_ONCE)]
    return Batch.join([model.predict(part) for part in parts])
