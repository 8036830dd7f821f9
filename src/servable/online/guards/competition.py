"""Competition: the learner, the champion (its last good state, frozen) and "no change" on the same events; who answers.

All are judged on examples that none of them has learned. The learner is set aside, and the champion answers, when an
e-detector tells that the learner is worse than the champion, or that one of them errs far above what it did in all of
the last blocks (a quick learner may have followed already; the champion has not): labels that suddenly contradict all
that was learned are a fault until shown otherwise. It goes on learning in the shadow, and comes back when, over a whole
span, and over its second half as well, the evidence says that it is no worse. A burst is over by then; a world that has
changed has stayed so. A learner that fails at that and is not better either begins again from the champion. From the
third on, each span is twice as long as the one before.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from servable.statistics.detector import bet
from servable.statistics.sequential import ENOUGH, margin_evidence

ALARM: Final = 10_000.0
"""Evidence at which a learner is set aside: where nothing is wrong, once in as many examples at the most."""
STAKE: Final = 0.25
BOLD: Final = 0.5
BLOCK: Final = 250
BLOCKS: Final = 8
ABOVE: Final = 0.1
HIGHEST: Final = 0.8
OPPOSITE: Final = 0.6
"""A frozen champion falls behind as the world moves; but where its opposite is far more often right, labels turned: if
the learner was surprised too, lately. One that was not has moved with the world. A champion that has erred about as
often in one of its last blocks is no witness.
"""
RECENT: Final = 4
"""The last blocks of a champion: those before were of others."""
LATELY: Final = 500
"""Examples within which both must have been surprised."""
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
    """The losses of one contender by blocks, and the evidence that they have suddenly risen above all of the last:
    above `usual`.
    """

    sudden: float = 1.0
    block: float = 0.0
    in_block: int = 0
    blocks: list[float] = []
    usual: float | None = None
    judged: int = 0
    """Of those in the block: it may not have been asked about all."""

    def see(self, loss: float | None, limit: float | None) -> None:
        """One example; a loss above `limit` is sudden, none is where it is None. A loss of None: it was not asked."""
        if loss is not None:
            if limit is not None:
                self.sudden = bet(self.sudden, loss, BOLD / limit, limit)
            self.block += loss
            self.judged += 1
        self.in_block += 1
        if self.in_block == BLOCK:
            self.blocks = [*self.blocks, self.block / max(self.judged, 1)][-BLOCKS:]
            self.block, self.in_block, self.judged, self.usual = 0.0, 0, 0, settled(self.blocks)


class Tally(msgspec.Struct, array_like=True):
    """What a competition has come to: plain numbers, which are its whole state."""

    aside: bool = False
    falls: int = 0
    returns: int = 0
    worse: float = 1.0
    mine: Level = msgspec.field(default_factory=Level)
    theirs: Level = msgspec.field(default_factory=Level)
    surprised: int = LATELY
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
        return not self.tally.aside and max(self.tally.worse, self._sudden()) < ENOUGH

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
        self.tally.theirs.sudden = 1.0

    def _sudden(self) -> float:
        """The evidence that labels contradict what was learned: by the learner, or, if it was surprised too, by the
        champion.
        """
        tally = self.tally
        return max(tally.mine.sudden, tally.theirs.sudden) if tally.surprised < LATELY else tally.mine.sudden

    def see(self, learner: float, champion: float | None) -> Turn:
        """One example, and what follows from it. The champion is asked about each unless `rests`; None: it was not."""
        if self.tally.aside:
            return Turn.NONE if champion is None else self._in_shadow(learner, champion)
        self._in_front(learner, champion)
        return Turn.NONE

    def _in_front(self, learner: float, champion: float | None) -> None:
        tally = self.tally
        if champion is not None:
            tally.worse = bet(tally.worse, learner - champion, STAKE)
        tally.mine.see(learner, tally.mine.usual)
        blocks = tally.theirs.blocks[-RECENT:]
        witness = len(blocks) > 1 and max(blocks) + ABOVE <= OPPOSITE
        tally.theirs.see(champion, OPPOSITE if witness else None)
        tally.surprised = 0 if tally.mine.sudden >= ENOUGH else tally.surprised + 1
        if tally.worse >= ALARM:
            self._fall("it was worse than its last good state")
        elif self._sudden() >= ALARM:
            self._fall("errors rose suddenly, far above what they were")

    def _fall(self, reason: str) -> None:
        tally = self.tally
        tally.aside, tally.reason, tally.spans = True, reason, 0
        tally.falls += 1
        self._start()

    def _in_shadow(self, learner: float, champion: float) -> Turn:
        """Count who erred more, by halves of the span."""
        tally = self.tally
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
            tally.worse, tally.mine, tally.theirs = 1.0, Level(), Level()
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


def returns(only_learner: list[int], only_champion: list[int], examples: int) -> bool:
    """Whether a learner may answer again, by the examples at which just one of the two erred, in both halves of a span.

    >>> returns([10, 10], [40, 40], 1000), returns([0, 60], [200, 10], 1000), returns([10, 10], [12, 12], 1000)
    (True, False, True)
    """
    whole = margin_evidence(sum(only_learner), sum(only_champion), examples, MARGIN)
    # Half the examples allow half the logarithm of the evidence.
    second = margin_evidence(only_learner[1], only_champion[1], examples - examples // 2, MARGIN)
    return whole >= ENOUGH and second >= ENOUGH**0.5
