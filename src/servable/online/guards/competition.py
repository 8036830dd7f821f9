"""Competition: the learner, the champion (its last good state, frozen) and "no change" on the same events; who answers.

All are judged on examples that none of them has learned. The learner is set aside, and the champion answers, when an
e-detector tells that the learner is worse than the champion, or that labels contradict what one of them says (a quick
learner may have followed already; what is frozen has not), or, of numbers, that errors have suddenly risen. That is a
fault until shown otherwise. It goes on learning in the shadow, and comes back when, over a whole
span, and over its second half as well, the evidence says that it is no worse. A burst is over by then; a world that has
changed has stayed so. A learner that fails at that and is not better either begins again from the champion. From the
third on, each span is twice as long as the one before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, Final, NamedTuple

import msgspec

from servable.online.guards.contradiction import Contradiction, Told
from servable.statistics.detector import NOTHING, bet, bets
from servable.statistics.sequential import ENOUGH, margin_evidence

ALARM: Final = 10_000.0
"""Evidence at which a learner is set aside: where nothing is wrong, once in as many examples at the most."""
STAKE: Final = 0.25
BLOCK: Final = 250
BLOCKS: Final = 8
ABOVE: Final = 0.1
HIGHEST: Final = 0.8
RECENT: Final = 4
"""The last blocks."""
WARY: Final = 0.5
LATELY: Final = 100
"""Examples after which a learner's bad spell is forgotten."""
MARGIN: Final = 0.03
"""Of the share of examples at which it errs alone: a learner that is at most so much worse may answer."""
MOST_DOUBLINGS: Final = 5
ALERT: Final = 3.0
"""Evidence from which on each example counts; below, a share of them will do."""


class Turn(Enum):
    """What an example may bring about: nothing; the learner is back, and what it is now is the champion; or it begins
    again from the champion.
    """

    NONE = auto()
    BACK = auto()
    AGAIN = auto()


class Said(NamedTuple):
    """What a contender said to an example: its loss, 0 to 1, and its answer if that is a class."""

    loss: float
    told: Told | None = None


class Level(msgspec.Struct, array_like=True):
    """The losses of the learner by blocks, and the evidence that they have suddenly risen above a limit."""

    bets: list[float] = msgspec.field(default_factory=lambda: list(NOTHING))
    block: float = 0.0
    in_block: int = 0
    blocks: list[float] = []
    usual: float | None = None
    lately: float | None = None
    """What it may be for a while: somewhat above the mean of the last blocks."""

    @property
    def sudden(self) -> float:
        """The evidence."""
        return sum(self.bets) / len(self.bets)

    def see(self, loss: float, limit: float | None) -> None:
        """One example; a loss above `limit` is sudden, none is where it is None."""
        if limit is not None:
            self.bets = bets(self.bets, loss, limit)
        self.block += loss
        self.in_block += 1
        if self.in_block == BLOCK:
            self.blocks = [*self.blocks, self.block / BLOCK][-BLOCKS:]
            self.block, self.in_block, self.usual = 0.0, 0, settled(self.blocks)
            last = self.blocks[-RECENT:]
            self.lately = min(sum(last) / len(last) + ABOVE, HIGHEST)


class Tally(msgspec.Struct, array_like=True):
    """What a competition has come to: plain values, which are its whole state."""

    aside: bool = False
    falls: int = 0
    returns: int = 0
    worse: float = 1.0
    doubt: float = 1.0
    surprised: int = 0
    level: Level = msgspec.field(default_factory=Level)
    mine: Contradiction = msgspec.field(default_factory=Contradiction)
    theirs: Contradiction = msgspec.field(default_factory=Contradiction)
    behind: float = -math.inf
    """What the learner lost more than this champion, where both were asked. The first champion has learned nothing."""
    span: int = 0
    spans: int = 0
    only_learner: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    only_champion: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    reason: str = ""

    @property
    def evidence(self) -> float:
        """All that speaks against the learner."""
        return max(self.worse, self.level.sudden, self.mine.evidence, self.theirs.evidence)


class Competition:
    """`see` takes what was said to each example."""

    def __init__(self, return_after: int, *, fallback: bool = True) -> None:
        """`fallback`: whether a learner is ever set aside."""
        self.tally = Tally()
        self._return_after = return_after
        self._fallback = fallback

    @property
    def calm(self) -> bool:
        """Whether nothing speaks against the learner now, and it was no worse than the champion: it may be the next."""
        return not self.tally.aside and self.tally.evidence < ENOUGH and self.tally.behind <= 0.0

    @property
    def rests(self) -> bool:
        """Whether so little speaks against the learner, and did of late, that the champion need not be asked about each
        example. That hangs on the examples before alone, so the evidence of those that are left stays what it is.
        """
        tally = self.tally
        return not tally.aside and tally.surprised >= LATELY and tally.evidence < ALERT

    def renewed(self, said: Iterable[tuple[Said, Any]] = ()) -> None:
        """There is another champion: what was said of the one before does not concern it. `said`: to examples that it
        has not learned, and their outcomes.
        """
        self.tally.worse, self.tally.behind, self.tally.theirs = 1.0, 0.0, Contradiction()
        for one, outcome in said:
            if one.told is not None:
                self.tally.theirs.see(one.told, outcome)
        if not self.tally.mine.trusted:
            self.tally.mine = Contradiction()

    def see(self, learner: Said, champion: Said | None, outcome: Any) -> Turn:
        """One example, and what follows from it. The champion is asked about each unless `rests`; None: it was not."""
        if self.tally.aside:
            return Turn.NONE if champion is None else self._in_shadow(learner.loss, champion.loss)
        self._in_front(learner, champion, outcome)
        return Turn.NONE

    def _in_front(self, learner: Said, champion: Said | None, outcome: Any) -> None:
        tally = self.tally
        if champion is not None:
            tally.behind += learner.loss - champion.loss
            tally.worse = bet(tally.worse, learner.loss - champion.loss, STAKE)
            if champion.told is not None:
                tally.theirs.see(champion.told, outcome)
        if tally.level.lately is not None:
            tally.doubt = bet(tally.doubt, learner.loss, WARY / tally.level.lately, tally.level.lately)
            tally.surprised = 0 if tally.doubt >= ENOUGH else tally.surprised + 1
        if learner.told is None:
            tally.level.see(learner.loss, tally.level.usual)
        else:
            tally.level.see(learner.loss, None)
            tally.mine.see(learner.told, outcome)
        if not self._fallback:
            return
        if tally.worse >= ALARM:
            self._fall("it was worse than its last good state")
        elif tally.level.sudden >= ALARM:
            self._fall("errors rose suddenly, far above what they were")
        elif max(tally.mine.evidence, tally.theirs.evidence) >= ALARM:
            self._fall("outcomes say the opposite of what was learned")

    def _fall(self, reason: str) -> None:
        tally = self.tally
        tally.aside, tally.reason, tally.spans = True, reason, 0
        tally.falls += 1
        self._start()

    def _in_shadow(self, learner: float, champion: float) -> Turn:
        """Count who erred more, by halves of the span."""
        tally = self.tally
        tally.level.see(learner, None)
        whole = self._return_after << min(max(tally.spans - 1, 0), MOST_DOUBLINGS)
        half = int(tally.span >= whole // 2)
        tally.span += 1
        tally.only_learner[half] += learner > champion
        tally.only_champion[half] += champion > learner
        if tally.span < whole:
            return Turn.NONE
        turn = Turn.NONE
        mine, theirs = tally.only_learner, tally.only_champion
        if returns(mine, theirs, whole):
            tally.aside, tally.reason = False, ""
            tally.returns += 1
            # The champion is what the learner is now.
            tally.level.bets, tally.mine = list(NOTHING), Contradiction()
            self.renewed()
            turn = Turn.BACK
        else:
            if sum(mine) >= sum(theirs) or mine[1] > theirs[1]:
                turn = Turn.AGAIN
            tally.spans += 1
        self._start()
        return turn

    def _start(self) -> None:
        tally = self.tally
        tally.span, tally.only_learner, tally.only_champion = 0, [0, 0], [0, 0]


def settled(blocks: list[float]) -> float | None:
    """The loss that is still usual: above the worst of the last blocks by as much as they lie apart (the unsteady have
    bad spells), and somewhat at least; None before there are two, and where no loss would be unusual.

    >>> settled([0.2]), round(settled([0.2, 0.25]), 2), round(settled([0.2, 0.35, 0.1]), 2), settled([0.9, 0.2])
    (None, 0.35, 0.6, None)
    """
    worst = max(blocks, default=1.0)
    limit = worst + max(ABOVE, worst - min(blocks, default=1.0))
    return limit if len(blocks) > 1 and limit <= HIGHEST else None


def returns(only_learner: list[int], only_champion: list[int], examples: int) -> bool:
    """Whether a learner may answer again, by the examples at which just one of the two erred, in both halves of a span.

    >>> returns([10, 10], [40, 40], 1000), returns([0, 60], [200, 10], 1000), returns([10, 10], [12, 12], 1000)
    (True, False, True)
    """
    whole = margin_evidence(sum(only_learner), sum(only_champion), examples, MARGIN)
    # Half the examples allow half the logarithm of the evidence.
    second = margin_evidence(only_learner[1], only_champion[1], examples - examples // 2, MARGIN)
    return whole >= ENOUGH and second >= ENOUGH**0.5
