"""Standing: what a guarded learner tells of itself, as plain values for a report."""

from __future__ import annotations

from typing import Any

from servable.online.guards.guarded import Guarded


def standing(guarded: Guarded) -> dict[str, Any]:
    """Who answers and why, what was undone, and how good the answers were."""
    tally = guarded.tally
    return {
        "answering": "champion" if tally.aside else "learner",
        "reason": tally.reason or None,
        "evidence": tally.evidence,
        "falls": tally.falls,
        "returns": tally.returns,
        "clipped": guarded.clipped,
        "undone": dict(guarded.undone),
        "scores": guarded.scores.report(),
    }
