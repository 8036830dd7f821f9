from __future__ import annotations

import time

from servable.server.http.metrics import render
from servable.server.supervisor.tally import Tally
from tests.server.http.test_metrics import door, read


def asked(slot, keys, hits, *, pid=0, **more):
    counts = {"lookups": 1, "keys": keys, "hits": hits, "stale": 0, "computed": 1}
    return door(slot, {}) | {"pid": pid, "lookups": {"churn": counts}} | more


def test_look_ups_of_all_doors_are_added_up_also_of_those_that_are_gone():
    tally = Tally()
    tally.complete([asked(0, 5, 3, pid=1)], {1})
    page = read(render(tally.complete([asked(0, 10, 8, pid=2), asked(1, 1, 0, pid=3)], {2, 3})))
    table = ("table", "churn")
    assert page["servable_table_lookups_total", (table,)] == 3
    found = {outcome: page["servable_table_keys_total", (("outcome", outcome), table)] for outcome in
             ("hit", "computed", "miss")}  # fmt: skip
    assert found == {"hit": 11, "computed": 3, "miss": 2}
    assert page["servable_table_stale_keys_total", (table,)] == 0


def test_what_stands_is_told_once():
    standing = {
        "tables": [{"table": "churn", "generation": 4, "rows": 100, "made_at": time.time() - 50, "fresh_s": 10.0}],
        "pushes": [{"table": "churn", "consumer": "https://crm", "sent": 7, "refused": 2, "dead": 1}],
        "jobs": [{"job": "churn", "ended": 5.0, "answered": 9, "bad": 1, "seconds": 2.5}],
    }
    page = read(render([asked(0, 1, 1, offline=standing), asked(1, 1, 1, offline=standing)]))
    table, consumer, job = ("table", "churn"), ("consumer", "https://crm"), ("job", "churn")
    assert page["servable_table_generation", (table,)] == 4
    assert 50 <= page["servable_table_age_seconds", (table,)] < 100
    assert page["servable_table_stale", (table,)] == 1
    assert page["servable_push_messages_total", (consumer, table)] == 7
    assert page["servable_push_refused_total", (consumer, table)] == 2
    assert page["servable_push_dead", (consumer, table)] == 1
    assert page["servable_batch_rows", (job, ("outcome", "bad"))] == 1
    assert page["servable_batch_seconds", (job,)] == 2.5


def test_without_tables_there_is_nothing_of_them():
    assert "table" not in render([door(0, {})])
