"""Tables of answers, as Prometheus' text: what was looked up, how old the answers are, what was pushed, what jobs did.

Look-ups are counted by each door, and added up; the rest stands in the home and the store, the same for all doors: it
is taken from one of them. Labels are names of tables, consumers and jobs, never what a caller sent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from servable.server.http.exposition import Page

Snapshot = Mapping[str, Any]


def add_tables(page: Page, snapshots: Sequence[Snapshot]) -> None:
    """Nothing at all where no table was asked and none stands."""
    asked: dict[str, dict[str, int]] = {}
    for door in snapshots:
        for table, counts in (door.get("lookups") or {}).items():
            total = asked.setdefault(table, dict.fromkeys(counts, 0))
            for name, count in counts.items():
                total[name] += count
    standing: Mapping[str, Any] = next((door["offline"] for door in snapshots if door.get("offline")), {})
    if not asked and not any(standing.values()):
        return
    _asked(page, dict(sorted(asked.items())))
    now = time.time()
    tables = [({"table": one["table"]}, one) for one in standing.get("tables", ())]
    for name, what, value in (
        ("generation", "The generation that readers see.", lambda one: one["generation"]),
        ("rows", "Rows of that generation.", lambda one: one["rows"]),
        ("age_seconds", "Its age.", lambda one: max(now - one["made_at"], 0.0)),
        ("stale", "1 if it is older than its table allows.", lambda one: int(_stale(one, now))),
    ):
        page.add(f"servable_table_{name}", "gauge", what, [(labels, value(one)) for labels, one in tables])
    pushes = [({"table": one["table"], "consumer": one["consumer"]}, one) for one in standing.get("pushes", ())]
    for name, kind, key, what in (
        ("messages_total", "counter", "sent", "Messages that a consumer took."),
        ("refused_total", "counter", "refused", "Messages that it refused."),
        ("dead", "gauge", "dead", "Messages that are set aside until they are offered again."),
    ):
        page.add(f"servable_push_{name}", kind, what, [(labels, one[key]) for labels, one in pushes])
    jobs = [({"job": one["job"]}, one) for one in standing.get("jobs", ())]
    rows = [(labels | {"outcome": outcome}, one[outcome]) for labels, one in jobs for outcome in ("answered", "bad")]
    page.add("servable_batch_rows", "gauge", "Rows of the last job of this name, answered or set aside.", rows)
    for name, key, what in (
        ("seconds", "seconds", "How long it took."),
        ("ended_time_seconds", "ended", "When it ended, in seconds since the epoch."),
    ):
        page.add(f"servable_batch_{name}", "gauge", what, [(labels, one[key]) for labels, one in jobs])


def _asked(page: Page, asked: Mapping[str, Mapping[str, int]]) -> None:
    lookups = [({"table": table}, counts["lookups"]) for table, counts in asked.items()]
    page.add("servable_table_lookups_total", "counter", "Requests for rows of a table.", lookups)
    keys = [
        ({"table": table, "outcome": outcome}, count)
        for table, counts in asked.items()
        for outcome, count in (
            ("hit", counts["hits"]),
            ("computed", counts["computed"]),
            ("miss", counts["keys"] - counts["hits"] - counts["computed"]),
        )
    ]
    page.add(
        "servable_table_keys_total", "counter", "Keys that were asked for: hit, computed by the model, miss.", keys
    )
    stale = [({"table": table}, counts["stale"]) for table, counts in asked.items()]
    page.add("servable_table_stale_keys_total", "counter", "Keys answered by rows past their table's freshness.", stale)


def _stale(one: Mapping[str, Any], now: float) -> bool:
    return one["fresh_s"] is not None and now - one["made_at"] > one["fresh_s"]
