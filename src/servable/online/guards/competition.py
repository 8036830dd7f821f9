"""Competition: the learner, the champion (its last good state, frozen) and "no change" on the same events; who answers.

All are judged on examples that none of them has learned. The learner is set aside, and the champion answers, when an
e-detector tells that the learner is worse than the champion, or that labels contradict what was learned: that one of
them (a quick learner may have followed already; what is frozen has not) is wrong more often than right, and was not so
lately. That is a fault until shown otherwise. It goes on learning in the shadow, and comes back when, over a whole
span, and over its second half as well, the evidence says that it is no worse. A burst is over by then; a world that has
changed has stayed so. A learner that fails at that and is not better either begins again from the champion. From the
third on, each span is twice as long as the one before.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from servable.statistics.detector import NOTHING, bet, bets
from servable.statistics.sequential import ENOUGH, margin_evidence

ALARM: Final = 10_000.0
"""Evidence at which a learner is set aside: where nothing is wrong, once in as many examples at the most."""
STAKE: Final = 0.25
BLOCK: Final = 250
BLOCKS: Final = 8
ABOVE: Final = 0.1
HIGHEST: Final = 0.8
EVEN: Final = 0.5
"""Who is wrong more often than this is contradicted: the opposite of its answers is better than they are. A model falls
behind as the world moves, and has bad spells; to be wrong more often than right takes more.
"""
RECENT: Final = 4
"""The last blocks of a champion: those before were of others."""
NEAR: Final = 0.05
"""A champion that was as near to `EVEN` in its last blocks is no witness."""
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


class Level(msgspec.Struct, array_like=True):
    """The losses of one contender by blocks, and the evidence that they have suddenly risen above a limit."""

    bets: list[float] = msgspec.field(default_factory=lambda: list(NOTHING))
    block: float = 0.0
    in_block: int = 0
    blocks: list[float] = []
    usual: float | None = None
    lately: float | None = None
    """What it may be for a while: somewhat above the mean of the last blocks."""
    judged: int = 0
    """Of those in the block: it may not have been asked about all."""

    @property
    def sudden(self) -> float:
        """The evidence."""
        return sum(self.bets) / len(self.bets)

    def see(self, loss: float | None, limit: float | None) -> None:
        """One example; a loss above `limit` is sudden, none is where it is None. A loss of None: it was not asked."""
        if loss is not None:
            if limit is not None:
                self.bets = bets(self.bets, loss, limit)
            self.block += loss
            self.judged += 1
        self.in_block += 1
        if self.in_block == BLOCK:
            self.blocks = [*self.blocks, self.block / max(self.judged, 1)][-BLOCKS:]
            self.block, self.in_block, self.judged, self.usual = 0.0, 0, 0, settled(self.blocks)
            last = self.blocks[-RECENT:]
            self.lately = min(sum(last) / len(last) + ABOVE, HIGHEST)


class Tally(msgspec.Struct, array_like=True):
    """What a competition has come to: plain numbers, which are its whole state."""

    aside: bool = False
    falls: int = 0
    returns: int = 0
    worse: float = 1.0
    doubt: float = 1.0
    surprised: int = 0
    mine: Level = msgspec.field(default_factory=Level)
    theirs: Level = msgspec.field(default_factory=Level)
    span: int = 0
    spans: int = 0
    only_learner: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    only_champion: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    reason: str = ""


class Competition:
    """`see` takes the losses of each example, between 0 and 1."""

    def __init__(self, return_after: int) -> None:
        self.tally = Tally()
        self._return_after = return_after

    @property
    def calm(self) -> bool:
        """Whether nothing speaks against the learner now."""
        tally = self.tally
        return not tally.aside and max(tally.worse, tally.mine.sudden, tally.theirs.sudden) < ENOUGH

    @property
    def rests(self) -> bool:
        """Whether so little speaks against the learner, and did of late, that the champion need not be asked about each
        example. That hangs on the examples before alone, so the evidence of those that are left stays what it is.
        """
        tally = self.tally
        evidence = max(tally.worse, tally.mine.sudden, tally.theirs.sudden)
        return not tally.aside and tally.surprised >= LATELY and evidence < ALERT

    def renewed(self) -> None:
        """There is another champion: what spoke against the one before does not concern it."""
        self.tally.theirs.bets = list(NOTHING)

    def see(self, learner: float, champion: float | None, *, classes: bool = True) -> Turn:
        """One example, and what follows from it. The champion is asked about each unless `rests`; None: it was not.
        `classes`: a loss is 1 for a wrong answer, else it is a distance, of which no size is more wrong than right.
        """
        if self.tally.aside:
            return Turn.NONE if champion is None else self._in_shadow(learner, champion)
        self._in_front(learner, champion, EVEN if classes else 0.0)
        return Turn.NONE

    def _in_front(self, learner: float, champion: float | None, even: float) -> None:
        tally = self.tally
        if champion is not None:
            tally.worse = bet(tally.worse, learner - champion, STAKE)
        lately, usual = tally.mine.lately, tally.mine.usual
        if lately is not None:
            tally.doubt = bet(tally.doubt, learner, WARY / lately, lately)
            tally.surprised = 0 if tally.doubt >= ENOUGH else tally.surprised + 1
        tally.mine.see(learner, None if usual is None else max(usual, even))
        tally.theirs.see(champion, EVEN if even and reliable(tally.theirs.blocks[-RECENT:]) else None)
        if tally.worse >= ALARM:
            self._fall("it was worse than its last good state")
        elif max(tally.mine.sudden, tally.theirs.sudden) >= ALARM:
            self._fall("errors rose suddenly, far above what they were")

    def _fall(self, reason: str) -> None:
        tally = self.tally
        tally.aside, tally.reason, tally.spans = True, reason, 0
        tally.falls += 1
        self._start()

    def _in_shadow(self, learner: float, champion: float) -> Turn:
        """Count who erred more, by halves of the span."""
        tally = self.tally
        tally.mine.see(learner, None)
        whole = self._return_after << min(max(tally.spans - 1, 0), MOST_DOUBLINGS)
        half = int(tally.span >= whole // 2)
        tally.span += 1
        tally.only_learner[half] += learner > champion
        tally.only_champion[half] += champion > learner
        if tally.span < whole:
            return Turn.NONE
        turn = Turn.NONE
        if returns(tally.only_learner, tally.only_champion, whole):
            tally.aside, tally.reason = False, ""
            tally.returns += 1
            # The champion is what the learner is now, and as good a witness.
            tally.worse, tally.mine.bets, tally.theirs = 1.0, list(NOTHING), Level(blocks=tally.mine.blocks[-RECENT:])
            turn = Turn.BACK
        else:
            mine, theirs = tally.only_learner, tally.only_champion
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


def reliable(blocks: list[float]) -> bool:
    """Whether a champion that erred so in its last blocks may tell that labels contradict what was learned.

    >>> reliable([0.1]), reliable([0.1, 0.6]), reliable([0.4, 0.6])
    (False, True, False)
    """
    return len(blocks) > 1 and sum(blocks) / len(blocks) <= EVEN - NEAR


def returns(only_learner: list[int], only_champion: list[int], examples: int) -> bool:
    """Whether a learner may answer again, by the examples at which just one of the two erred, in both halves of a span.

    >>> returns([10, 10], [40, 40], 1000), returns([0, 60], [200, 10], 1000), returns([10, 10], [12, 12], 1000)
    (True, False, True)
    """
    whole = margin_evidence(sum(only_learner), sum(only_champion), examples, MARGIN)
    # Half the examples allow half the logarithm of the evidence.
    second = margin_evidence(only_learner[1], only_champion[1], examples - examples // 2, MARGIN)
    return whole >= ENOUGH and second >= ENOUGH**0.5
