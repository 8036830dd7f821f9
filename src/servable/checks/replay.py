"""Replay: the regression suite asked of a version, each case alone, as a client would ask it: rules included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from servable.bundles.answer import Answer, texts_of
from servable.checks.case import Case
from servable.checks.subject import Subject
from servable.domain.batch import Batch
from servable.domain.verdict import Verdict
from servable.errors import InvalidInput, Refused, ServableError, UsageError
from servable.wire.rows import columns_of

CHECK: Final = "regression suite"
MAX_ELEMENTS: Final = 1 << 24


def batch_of(row: dict[str, Any], model: Subject) -> Batch:
    """A row as the model's inputs. Raises InvalidInput with every fault: what a door would answer."""
    signature = model.signature
    columns, faults = columns_of([row], signature, MAX_ELEMENTS)
    if not faults:
        batch = signature.complete(Batch(columns, 1))
        faults = signature.check(batch)
        if not faults:
            return batch
    told = [str(fault) for fault in faults]
    raise InvalidInput(f"the row breaks the contract: {'; '.join(told)}", faults=told)


def replay(cases: Sequence[Case], model: Subject) -> Verdict:
    """All cases. Those that need not pass are counted, and shown, and decide nothing."""
    failed = []
    for case in cases:
        why = _wrong(case, model)
        if why:
            failed.append(
                {
                    "id": case.id, "must_pass": case.must_pass, "expected": case.expected(), "got": why,
                    "note": case.note, "row": case.row,
                }
            )  # fmt: skip
    must = [each for each in failed if each["must_pass"]]
    asked = sum(case.must_pass for case in cases)
    reason = f"{asked - len(must)} of {asked} cases that must pass do" if asked else "no case must pass"
    if must:
        reason += f"; case {must[0]['id']} {must[0]['expected']}: {must[0]['got']}"
    if len(cases) > asked:
        reason += f"; of {len(cases) - asked} others {len(failed) - len(must)} fail"
    numbers = {"cases": float(len(cases)), "must_pass": float(asked), "failed": float(len(must))}
    evidence = {"failed": failed} if failed else {}
    return Verdict(CHECK, passed=not must, reason=reason, numbers=numbers, evidence=evidence)


def _wrong(case: Case, model: Subject) -> str:
    """Why a case fails; empty where it does not."""
    try:
        answer = model.served(batch_of(case.row, model))
    except (InvalidInput, Refused) as error:
        return "" if case.refused else f"it is refused: {error.message}"
    except ServableError as error:
        return f"it fails: {error.message}"
    if case.refused:
        return f"it answers {_told(answer)}"
    if not _finite(answer):
        return f"it answers {_told(answer)}"
    try:
        return _unexpected(case, answer, model)
    except ServableError as error:
        return error.message


def _unexpected(case: Case, answer: Answer, model: Subject) -> str:
    if case.label is not None:
        if answer.chosen is None:
            raise UsageError("it answers with a number, and the case expects a label: use 'between'")
        (wanted,) = texts_of([case.label])
        return "" if _label(answer) == wanted else f"it answers {_told(answer)}"
    strength = float(answer.strength(case.of)[0])
    if case.between is not None:
        low, high = case.between
        return "" if low <= strength <= high else f"it is {strength:.6g}"
    if case.near is not None:
        other = float(model.served(batch_of(case.near.row, model)).strength(case.of)[0])
        if abs(strength - other) > case.near.within:
            return f"{strength:.6g} here and {other:.6g} there"
    return ""


def _finite(answer: Answer) -> bool:
    numbers = answer.scores if answer.scores is not None else answer.numbers
    return numbers is None or bool(np.isfinite(numbers).all())


def _label(answer: Answer) -> str:
    assert answer.chosen is not None  # noqa: S101 - looked at by whoever asks
    code = int(answer.chosen[0])
    return answer.classes[code] if code < len(answer.classes) else "?"


def _told(answer: Answer) -> str:
    if answer.numbers is not None:
        return f"{answer.numbers[0]:.6g}"
    sure = "" if answer.scores is None else f" ({answer.scores[0].max():.1%})"
    return f"{_label(answer)!r}{sure}"
