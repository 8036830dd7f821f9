"""Contradiction: evidence that outcomes say the opposite of a model's answers, whichever outcomes are frequent now.

Of two examples with different outcomes: would the answers fit better if the outcomes were exchanged? Where outcomes
have nothing to do with the answers they would in half of such pairs, where the model knows anything, in fewer. An
e-detector bets that they would in more. A spell of one outcome makes no pairs, and a model that always answers the
same makes ties: neither is evidence. To be wrong more often than right would be no sign: what has fallen behind is so
in many a spell. Nor is one a witness that was never right: it bets from when its first pairs have spoken for it.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

from servable.domain.batch import Batch
from servable.statistics.detector import NOTHING, SHARES, bets
from servable.statistics.sequential import ENOUGH

Told: TypeAlias = tuple[Any, float, float]
"""An answer: its label, what that is given, and what each other outcome is given."""

EVEN: Final = 0.5
MOST_HELD: Final = 100
"""Examples of one outcome that wait for one of another: the last ones."""


class Contradiction(msgspec.Struct, array_like=True):
    """Of one model. `held`: answers to examples of `outcome` that are in no pair yet."""

    bets: list[float] = msgspec.field(default_factory=lambda: list(NOTHING))
    trust: list[float] = msgspec.field(default_factory=lambda: list(NOTHING))
    """Bets the other way, which are never begun anew: of models that know nothing, one in twenty comes to ENOUGH."""
    outcome: Any = None
    held: list[Told] = []

    @property
    def evidence(self) -> float:
        """It reaches x once in x pairs at the most, on average, where nothing is contradicted."""
        return sum(self.bets) / len(self.bets)

    @property
    def trusted(self) -> bool:
        """Whether its answers went with the outcomes."""
        return sum(self.trust) / len(self.trust) >= ENOUGH

    def see(self, told: Told, outcome: Any) -> None:
        """An answer and its outcome: a pair with the last that waits and had another outcome.

        >>> turned, spell, never = (Contradiction() for _ in range(3))
        >>> for row in range(200): turned.see((row % 2, 0.9, 0.1), (row + row // 100) % 2)
        >>> for row in range(200): spell.see((row % 2, 0.9, 0.1), row % 2 if row < 100 else 1)
        >>> for row in range(200): never.see((row % 2, 0.9, 0.1), 1 - row % 2)
        >>> turned.evidence > 10_000, spell.evidence, never.evidence
        (True, 0.5, 1.0)
        """
        if not self.held or outcome == self.outcome:
            self.outcome = outcome
            self.held.append(told)
            del self.held[:-MOST_HELD]
            return
        other = self.held.pop()
        straight = _fit(told, outcome) + _fit(other, self.outcome)
        crossed = _fit(told, self.outcome) + _fit(other, outcome)
        if straight != crossed:
            if self.trusted:
                self.bets = bets(self.bets, float(crossed > straight), EVEN)
            else:
                stakes = zip(self.trust, SHARES, strict=True)
                self.trust = [one * (1.0 + (share if straight > crossed else -share)) for one, share in stakes]


def told(answer: Batch | None, rows: int) -> list[Told | None]:
    """One a row; None where no class is answered."""
    if answer is None or "label" not in answer:
        return [None] * rows
    labels = answer["label"].tolist()
    shares = answer.columns.get("probabilities")
    if shares is None or not np.isfinite(shares).all():
        return [(label, 1.0, 0.0) for label in labels]
    others = max(shares.shape[1] - 1, 1)
    most = shares.max(axis=1).tolist()
    return [(label, share, (1.0 - share) / others) for label, share in zip(labels, most, strict=True)]


def _fit(told: Told, outcome: Any) -> float:
    return told[1] if told[0] == outcome else told[2]
