"""Finding: one thing about a model that is odd, as the simplest row that shows it, and the rule that would guard it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from servable.bundles.answer import Answer
from servable.checks.case import Case, Near
from servable.checks.probe import policy
from servable.checks.probe.ground import Ground
from servable.domain.batch import Batch
from servable.domain.rule import Rule

NEAR: Final = 0.2


class Finding(NamedTuple):
    """What was done to which columns, and what came of it in `affected` of `asked` rows.

    `base` is one row and `row` the same with the change. `before` and `after` are the answers, in words; `start` the
    value from which on it happens, where it is a number's.
    """

    kind: str
    columns: tuple[str, ...]
    told: str
    what: str
    asked: int
    affected: int
    size: float
    base: Batch
    row: Batch
    before: str
    after: str
    start: float | None = None
    rule: Rule | None = None

    @property
    def share(self) -> float:
        """Of the rows that were asked."""
        return self.affected / max(1, self.asked)

    @property
    def rank(self) -> tuple[Any, ...]:
        """The worst first."""
        return policy.rank(self.what, self.share, self.size)

    @property
    def sentence(self) -> str:
        """In one line."""
        named = " and ".join(self.columns[:3]) + (f" and {len(self.columns) - 3} more" if len(self.columns) > 3 else "")
        since = "" if self.start is None else f" from {self.start:.6g} on"
        seen = f"in {self.affected} of {self.asked} rows ({self.before} → {self.after})"
        return f"{named} {self.told}: {self.what}{since} {seen}"

    def evidence(self, ground: Ground) -> dict[str, Any]:
        """As JSON: the row, and in what it differs from the typical one."""
        row, typical = ground.row(self.row), ground.row(ground.typical)
        return {
            "kind": self.kind, "columns": list(self.columns), "change": self.told, "what": self.what,
            "asked": self.asked, "affected": self.affected, "before": self.before, "after": self.after,
            "start": self.start, "row": row,
            "unlike_typical": {name: value for name, value in row.items() if value != typical.get(name)},
            "rule": None if self.rule is None else msgspec.to_builtins(self.rule),
        }  # fmt: skip

    def case(self, ground: Ground) -> Case:
        """For the regression suite. Only what is wrong beyond doubt must pass; the rest is for people to decide."""
        row, note = ground.row(self.row), f"{self.kind}: {' and '.join(self.columns[:3])} {self.told}"
        if self.what in {"fails", "is not finite", "saturates", "depends on other rows"}:
            return Case(row, note=note, source="probe", must_pass=self.what in {"fails", "is not finite"})
        return Case(row, near=Near(ground.row(self.base), NEAR), note=note, source="probe", must_pass=False)


def words(answer: Answer, at: int = 0) -> str:
    """One answer, as people read it."""
    if answer.numbers is not None:
        return f"{answer.numbers[at]:.4g}"
    name = policy.names(answer)[at]
    if answer.scores is None:
        return f"{name!s}"
    return f"{name!s} {np.max(answer.scores[at]):.0%}"
