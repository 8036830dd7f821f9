"""The gate: everything a version must show, one Verdict after another. Equal questions and seeds give equal answers.

`answer` is a generator, so that whoever asks can show what is decided so far. It writes nothing down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from servable.bundles.golden import golden_rows
from servable.bundles.profile import read_profile, read_reference
from servable.checks import budgets, expectations, thresholds
from servable.checks.asked import Asked, ask
from servable.checks.examples import Examples
from servable.checks.measure import Judged, interval, measured, outcome
from servable.checks.question import Question
from servable.checks.replay import replay
from servable.checks.subject import Served, Subject
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.demand import BUDGETS, METRICS, Demand, Invariant, Monotone, NotWorse, Threshold, parse
from servable.domain.verdict import Verdict
from servable.errors import CheckFailed, ServableError, UsageError
from servable.statistics.calibration import calibration
from servable.statistics.interval import Interval
from servable.statistics.mcnemar import mcnemar, mcnemar_clustered

MARGIN: Final = 0.01
"""By how much a version may be worse than the champion where nobody says: of a share so much, of an error in units of
the label so much of the champion's.
"""
SURPRISING: Final = 0.05
GOLDEN: Final = "golden rows"
CALIBRATION: Final = "calibration"
METRICS_TOLD: Final = "metrics"
RULES: Final = "rules"
SHOWN: Final = {True: ("mae", "rmse", "r2"), False: ("accuracy", "balanced_accuracy", "f1", "auc", "log_loss")}
"""What is told of a model with labelled rows where nobody demands anything: of numbers, of classes."""


def demands_of(bundle: Bundle, texts: Sequence[str] = ()) -> tuple[Demand, ...]:
    """Those of the manifest, then others; one that is written twice counts once. Raises UsageError."""
    return tuple(parse(text) for text in dict.fromkeys(text.strip() for text in (*bundle.manifest.checks, *texts)))


def answer(question: Question, model: Subject, champion: Subject | None = None) -> Iterator[Verdict]:
    """Every Verdict, the plainest first. Raises UsageError for a demand of a metric or column that there is not."""
    yield _golden(model.bundle)
    try:
        asked = ask(question, model, champion)
    except UsageError:
        raise
    except ServableError as error:
        yield Verdict("answers", passed=False, reason=error.message)
        return
    rows = asked.rows
    for demand in _demands(question, rows, against=asked.pairs is not None):
        yield _judge(demand, question, model, asked)
    if rows is not None:
        if not any(isinstance(demand, Threshold) and demand.metric in METRICS for demand in question.demands):
            yield _overview(rows, question.seed)
        if rows.answer.calibrated:
            yield _calibration(rows, question.seed)
    if model.guard is not None and question.examples is not None:
        yield _rules(asked.served or model.serve(question.examples.batch), len(question.examples))
    if question.cases:
        yield replay(question.cases, model)


def _demands(question: Question, rows: Judged | None, *, against: bool) -> list[Demand]:
    """Those that were given, with the slices; beside a champion at least one that compares with it."""
    found: list[Demand] = []
    for demand in question.demands:
        sliced = isinstance(demand, (Threshold, NotWorse)) and not demand.by and demand.metric not in BUDGETS
        found.append(msgspec.structs.replace(demand, by=question.by) if sliced else demand)
    if rows is None:
        return found
    named = [demand for demand in found if isinstance(demand, Threshold) and demand.metric in METRICS]
    if against and not any(isinstance(demand, NotWorse) for demand in found):
        fit = [demand for demand in named if demand.metric not in {"ece", "bias"}]
        metric = fit[0].metric if fit else "rmse" if rows.answer.numbers is not None else "accuracy"
        of = fit[0].of if fit else ""
        found.append(NotWorse(f"{metric}{f'({of})' if of else ''} not worse", metric, of, None, question.by))
    return found


def _judge(demand: Demand, question: Question, model: Subject, asked: Asked) -> Verdict:
    if isinstance(demand, Threshold) and demand.metric in BUDGETS:
        return budgets.budget(demand, model, known_rows(model.bundle, question.examples))
    if isinstance(demand, Invariant):
        return expectations.invariant(demand, model, known_rows(model.bundle, question.examples), question.seed)
    if isinstance(demand, Monotone):
        return expectations.monotone(demand, model, known_rows(model.bundle, question.examples), question.seed)
    if asked.rows is None or asked.examples is None:
        return Verdict(
            demand.text, passed=False, reason="it was not shown: labelled rows are needed  (--data FILE --label COLUMN)"
        )
    if isinstance(demand, Threshold):
        return thresholds.threshold(demand, asked.rows, asked.examples, question.seed)
    if asked.pairs is None:
        return Verdict(demand.text, passed=False, reason="it was not shown: name a champion  (--against NAME@champion)")
    pairs = asked.pairs
    margin = _margin(demand, question, pairs.theirs)
    verdict = thresholds.not_worse(
        demand, pairs.ours, pairs.theirs, pairs.examples, ref=pairs.ref, margin=margin, seed=question.seed
    )
    return _with_changes(verdict, pairs.ours, pairs.theirs)


def _margin(demand: NotWorse, question: Question, champion: Judged) -> float:
    if demand.margin is not None:
        return demand.margin
    if question.margin is not None:
        return question.margin
    if METRICS[demand.metric] == "lower" and demand.metric != "brier":
        return MARGIN * abs(measured(demand.metric, champion, demand.of).estimate)
    return MARGIN


def _with_changes(verdict: Verdict, rows: Judged, champion: Judged) -> Verdict:
    """With what changed, of classes: answers that were right and are wrong now, and the other way round."""
    if rows.answer.chosen is None or champion.answer.chosen is None:
        return verdict
    ours, theirs = rows.answer.chosen == rows.truth, champion.answer.chosen == champion.truth
    mended, broken = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    together = rows.clusters
    chance = (
        mcnemar(mended, broken) if together is None else mcnemar_clustered(ours & ~theirs, theirs & ~ours, together)
    )
    told = f"; {mended} answers became right, {broken} wrong (McNemar p = {chance:.2g})"
    numbers = {"became_right": float(mended), "became_wrong": float(broken), "mcnemar_p": chance}
    return msgspec.structs.replace(verdict, reason=verdict.reason + told, numbers=verdict.numbers | numbers)


def _calibration(rows: Judged, seed: int) -> Verdict:
    """What the probabilities are worth. It is told; a limit is demanded as `ece<=0.05`."""
    found = calibration(*outcome(rows), seed=seed, clusters=rows.clusters)
    fits = "fit" if found.p_value >= SURPRISING else "do not fit"
    reason = f"the calibration error is {found.error}; its probabilities {fits} the outcomes (p = {found.p_value:.2g})"
    numbers = {
        "value": found.error.estimate, "low": found.error.low, "high": found.error.high, "p": found.p_value,
        "rows": float(len(rows)),
    }  # fmt: skip
    curve = [
        {"told": told, "came": came.estimate, "low": came.low, "high": came.high, "rows": count}
        for count, told, came in found.curve
    ]
    return Verdict(CALIBRATION, passed=True, reason=reason, numbers=numbers, evidence={"curve": curve})


def _rules(served: Served, rows: int) -> Verdict:
    """On how many of the rows each rule fires, and how many are refused: of those there are no metrics."""
    fired = {each.rule.name: len(each.rows) for each in served.fired}
    told = ", ".join(f"{name} on {count}" for name, count in fired.items())
    refused = len(served.refused)
    reason = f"of {rows} rows {told}" if told else f"none fires on {rows} rows"
    if refused:
        reason += f"; {refused} are refused, and metrics are of the others"
    numbers = {name: float(count) for name, count in fired.items()}
    return Verdict(RULES, passed=True, reason=reason, numbers={**numbers, "refused": float(refused)})


def _golden(bundle: Bundle) -> Verdict:
    """Loading has asked for them: who is here has reproduced them."""
    rows = golden_rows(bundle)
    if rows is None:
        return Verdict(GOLDEN, passed=True, reason="the bundle has none: it was packed without a sample")
    told = f"it reproduces its {rows.rows} golden rows, together and one alone"
    return Verdict(GOLDEN, passed=True, reason=told, numbers={"rows": float(rows.rows)})


def _overview(rows: Judged, seed: int) -> Verdict:
    """The usual metrics with their intervals, where nobody demands any: it is told, and decides nothing."""
    found: dict[str, Interval] = {}
    for metric in SHOWN[rows.answer.numbers is not None]:
        try:
            found[metric] = interval(metric, rows, seed=seed)
        except UsageError:  # not one of this model's
            continue
    told = ", ".join(f"{metric} {seen}" for metric, seen in found.items())
    numbers = {metric: seen.estimate for metric, seen in found.items() if not math.isnan(seen.estimate)}
    reason = f"nothing is demanded of them on {len(rows)} rows: {told}"
    return Verdict(METRICS_TOLD, passed=True, reason=reason, numbers=numbers | {"rows": float(len(rows))})


def known_rows(bundle: Bundle, examples: Examples | None) -> Batch:
    """Rows to ask without labels: those given, else those the bundle was packed with. Raises CheckFailed."""
    if examples is not None:
        return examples.batch
    reference = read_reference(bundle)
    if reference is not None:
        return reference.inputs
    golden = golden_rows(bundle)
    if golden is None or not golden.rows:
        raise CheckFailed(f"{bundle.name} holds no rows to be asked: give some with --data FILE")
    return golden


def label_of(bundle: Bundle) -> str | None:
    """The name of the label's column in the sample that the bundle was packed with."""
    profile = read_profile(bundle)
    return (profile.label or None) if profile is not None else None
