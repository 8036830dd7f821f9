"""Bulletin: how learning goes, told to the doors each second in which something changed, and to the log each minute.

Doors show it on `/metrics`. It is told by the process that learns, so that no scrape waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final

EVERY_S: Final = 1.0
LOG_S: Final = 60.0

logger = logging.getLogger("servable.online")


class Bulletin:
    """`report` gives what is told; `mark` what it is the same by: as long as it is, nothing is told."""

    def __init__(self, report: Callable[[], dict[str, Any]], mark: Callable[[], object]) -> None:
        self._report = report
        self._mark = mark
        self._told: object = mark()
        self._log_at = 0.0
        self._logged: Mapping[str, Any] = report()
        self._logged_at = monotonic()
        self.due_at = 0.0
        """When it may be told again, by `time.monotonic`."""

    def fresh(self) -> bool:
        """Whether there is something to tell."""
        return self._mark() != self._told

    def due(self, now: float) -> dict[str, Any] | None:
        """The report, if it is time for it and it is news."""
        if now < self.due_at or not self.fresh():
            return None
        self._told = self._mark()
        report = self._report()
        # Where gathering it takes long, it is told less often.
        self.due_at = now + max(EVERY_S, 20 * (monotonic() - now))
        self._log(now, report)
        return report

    def _log(self, now: float, report: Mapping[str, Any]) -> None:
        before = self._logged
        turned = any(before[key] != report[key] for key in ("answering", "paused"))
        if not turned and (now < self._log_at or before["learned"] == report["learned"]):
            return
        rate = (report["learned"] - before["learned"]) / (now - self._logged_at)
        level = logging.WARNING if report["answering"] != "learner" or report["paused"] else logging.INFO
        logger.log(level, "%s", in_words(report, rate))
        self._log_at, self._logged, self._logged_at = now + LOG_S, report, now


def in_words(report: Mapping[str, Any], rate: float) -> str:
    """One line of a log: `rate` is examples a second since the last one.

    >>> scores = {"window": {"accuracy": 0.91, "no_change_accuracy": 0.5, "kappa": 0.8, "log_loss": 0.25}}
    >>> counts = {"learned": 1200, "behind": 3, "turned_away": {"late": 2}, "undone": {}, "falls": 1}
    >>> in_words({**counts, "answering": "learner", "reason": None, "paused": None, "scores": scores}, 40.0)
    '1200 learned (40/s), 3 behind; accuracy 0.9100, no change 0.5000, kappa 0.8000, log-loss 0.2500; 2 turned away, \
0 undone, 1 rollbacks'
    """
    window = report["scores"].get("window", {})
    names = {
        "accuracy": "accuracy", "no_change_accuracy": "no change", "kappa": "kappa", "kappa_temporal": "kappa-temporal",
        "log_loss": "log-loss",
    } if "accuracy" in window else {"loss": "loss", "no_change_loss": "no change"}  # fmt: skip
    told = ", ".join(f"{name} {window[key]:.4f}" for key, name in names.items() if key in window)
    turned_away, undone = (sum(report[key].values()) for key in ("turned_away", "undone"))
    parts = [
        f"{report['learned']} learned ({rate:.0f}/s), {report['behind']} behind",
        told,
        f"{turned_away} turned away, {undone} undone, {report['falls']} rollbacks",
        f"the champion answers: {report['reason']}" if report["answering"] != "learner" else "",
        f"paused: {report['paused']}" if report["paused"] else "",
    ]
    return "; ".join(filter(None, parts))
