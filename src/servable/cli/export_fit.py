"""What `export` asks of the variants of a model: limits, rows, and the gate, which is held over each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from servable.cli.under_test import Place, read_data, titled

if TYPE_CHECKING:
    from servable.bundles.load import Predictor
    from servable.domain.bundle import Bundle
    from servable.domain.model import Model
    from servable.domain.verdict import Verdict
    from servable.edge.fit import Fit
    from servable.edge.policy import Limits
    from servable.engine.plan import Target


def asked(
    place: Place, target: Target, predictor: Predictor, limits: Limits, data: Path | None, label: str | None
) -> Fit:
    """Limits, and the gate with these rows; golden rows stay out of it: variants are measured on them."""
    from servable.bundles.guard import guard_of
    from servable.checks import gate
    from servable.checks.question import Question
    from servable.checks.subject import Subject
    from servable.checks.suite import Suite
    from servable.edge.fit import Fit

    examples = read_data(Subject(titled(target), predictor.bundle, predictor.model, 0.0), data, label)
    cases = Suite(place.settings.home_path, target.name, place.who).cases()

    def judge(bundle: Bundle, model: Model) -> Sequence[Verdict]:
        question = Question(gate.demands_of(bundle), examples, cases)
        subject = Subject(titled(target), bundle, model, 0.0, guard_of(bundle))
        return [verdict for verdict in gate.answer(question, subject) if verdict.check != gate.GOLDEN]

    return Fit(limits, None if examples is None else examples.batch, judge)
