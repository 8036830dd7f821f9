"""How models that learn go, as Prometheus' text. Each has one process that learns, so nothing is added up: the door
that heard last tells for all; only what waits in the doors is summed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from servable.server.http.exposition import Page

Snapshot = Mapping[str, Any]
Labels = dict[str, str]
Key = tuple[str, str]

WINDOW: Final = {
    "accuracy": "Share of right answers, each before its example was learned, over the last examples",
    "accuracy_low": "Lower end of the band of it",
    "accuracy_high": "Upper end of the band of it",
    "no_change_accuracy": "What answering the outcome before would have had",
    "kappa": "Cohen's kappa of the same",
    "kappa_temporal": "Kappa against answering the outcome before",
    "loss": "Mean loss of who answered, 0 to 1",
    "learner_loss": "Mean loss of the learner",
    "no_change_loss": "Mean loss of answering the outcome before",
    "log_loss": "Mean log-loss",
}
"""Names in the report of scores to what they say."""
LOSSES: Final = {"loss": "served", "learner_loss": "learner", "no_change_loss": "no_change"}


def add_learning(page: Page, snapshots: Sequence[Snapshot]) -> None:
    """Without a model that learns there is nothing to tell."""
    found = _newest(snapshots)
    if not found:
        return
    each = [({"model": name, "version": version}, told) for (name, version), told in sorted(found.items())]

    def one(name: str, kind: str, what: str, field: str) -> None:
        page.add(f"servable_learning_{name}", kind, what, [(labels, told[field]) for labels, told in each])

    def by(name: str, what: str, field: str, label: str) -> None:
        values = [(labels | {label: key}, count) for labels, told in each for key, count in sorted(told[field].items())]
        page.add(f"servable_learning_{name}", "counter", what, values)

    offsets = [
        (labels | {"of": of}, told[field])
        for labels, told in each
        for of, field in (("accepted", "accepted"), ("applied", "offset"), ("published", "published"))
    ]
    page.add("servable_learning_offset", "gauge", "Examples in the journal, in the weights, in the doors.", offsets)
    one("accepted_total", "counter", "Examples that are in the journal.", "accepted")
    one("updates_total", "counter", "Examples that were learned: its rate is that of updates.", "learned")
    one("behind", "gauge", "Examples that are accepted and wait to be learned.", "behind")
    one("queue", "gauge", "Lessons that wait in the doors.", "queue")
    one("inputs_kept", "gauge", "Rows that were predicted and wait for their outcomes.", "waiting")
    by("turned_away_total", "Examples that went to the quarantine unlearned, by reason.", "turned_away", "reason")
    by("undone_total", "Examples whose step was undone, by reason.", "undone", "reason")
    one("rollbacks_total", "counter", "Times that the champion took over.", "falls")
    one("returns_total", "counter", "Times that the learner came back.", "returns")
    one("clipped_total", "counter", "Numbers that were out of reach, and taken as the edge of it.", "clipped")
    champion = [(labels, int(told["answering"] == "champion")) for labels, told in each]
    page.add("servable_learning_champion_answers", "gauge", "1 while the champion answers.", champion)
    paused = [(labels, int(told["paused"] is not None)) for labels, told in each]
    page.add("servable_learning_paused", "gauge", "1 while nothing can be written, so nothing is accepted.", paused)
    _drift(page, each)
    _scores(page, each)


def _newest(snapshots: Sequence[Snapshot]) -> dict[Key, dict[str, Any]]:
    found: dict[Key, dict[str, Any]] = {}
    for door in snapshots:
        for model in door["models"]:
            told = model.get("learning")
            if told is None or door.get("past"):
                continue
            key = (model["name"], model["version"])
            before = found.get(key)
            newer = before is None or (told["accepted"], told["offset"]) >= (before["accepted"], before["offset"])
            queue = told["queue"] + (0 if before is None else before["queue"])
            found[key] = {**(told if newer or before is None else before), "queue": queue}
    return found


def _drift(page: Page, each: Sequence[tuple[Labels, Mapping[str, Any]]]) -> None:
    told = [
        (labels | {"detector": name}, state) for labels, told in each for name, state in sorted(told["drift"].items())
    ]
    changes = [(labels, state["changes"]) for labels, state in told]
    page.add("servable_learning_drift_changes_total", "counter", "Changes in the errors that a detector told.", changes)
    ago = [(labels, state["examples_ago"]) for labels, state in told if state["examples_ago"] is not None]
    page.add("servable_learning_drift_examples_ago", "gauge", "Examples since the last of these.", ago)


def _scores(page: Page, each: Sequence[tuple[Labels, Mapping[str, Any]]]) -> None:
    scored = [(labels, told["scores"]) for labels, told in each if told["scores"].get("examples")]
    page.add(
        "servable_learning_scored_total", "counter", "Examples whose answers were judged before they were learned.",
        [(labels, scores["examples"]) for labels, scores in scored],
    )  # fmt: skip
    losses = [
        (labels | {"of": of}, scores["all"][name] * scores["examples"])
        for labels, scores in scored
        for name, of in LOSSES.items()
    ]
    page.add("servable_learning_loss_total", "counter", "Their losses, 0 to 1 each, added up.", losses)
    logs = [(labels, scores["all"]["log_loss"] * scores["examples"]) for labels, scores in scored]
    page.add("servable_learning_log_loss_total", "counter", "Their log-losses, added up.", logs)
    for name, what in WINDOW.items():
        values = [(labels, scores["window"][name]) for labels, scores in scored if name in scores["window"]]
        page.add(f"servable_learning_window_{name}", "gauge", f"{what}.", values)
