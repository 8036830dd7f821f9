from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from servable.domain.verdict import Verdict
from servable.errors import NotFound
from servable.offline.asked import Asked
from servable.offline.counts import standing
from servable.offline.folder import JOBS, VERDICT
from servable.offline.lookup import Lookup
from servable.offline.push.delivery import Delivery
from servable.offline.push.message import Refused
from servable.offline.whole import write_whole
from servable.stores.tables.open import open_tables
from tests.offline.push.consumers import Remembering
from tests.offline.test_routes import fill


@pytest.fixture
def tables(tmp_path):
    fill(tmp_path, fresh_s=1e6)
    fill(tmp_path, table="old", fresh_s=1.0)
    opened = open_tables(tmp_path)
    yield opened
    opened.close()


def test_look_ups_are_counted_table_by_table(tables):
    lookup = Lookup(tables)
    lookup.now("churn", "1", lambda _: None)
    with pytest.raises(NotFound):
        lookup.now("churn", "1000", lambda _: None)
    with pytest.raises(NotFound):
        lookup.now("none", "1", lambda _: None)
    lookup.many_now("old", Asked([1, 2, 1000]), lambda _: None)
    asyncio.run(lookup.many("old", Asked([1]), lambda _: None))
    assert {table: counts.snapshot() for table, counts in lookup.counts.items()} == {
        "churn": {"lookups": 2, "keys": 2, "hits": 1, "stale": 0, "computed": 0},
        "old": {"lookups": 2, "keys": 4, "hits": 3, "stale": 3, "computed": 0},
    }


def test_how_things_stand(tables, tmp_path):
    def answer(messages):
        if any(message.key == "7" for message in messages):
            raise Refused("not that one")

    url = "https://ada:secret@crm.example.com/scores?token=1"
    Delivery(tables, tmp_path, lambda: Remembering(answer)).deliver("churn", url)
    verdict = Verdict("batch", passed=True, reason="", numbers={"rows": 10, "answered": 9, "bad": 1, "seconds": 2.5})
    (tmp_path / JOBS / "churn").mkdir(parents=True)
    write_whole(tmp_path / JOBS / "churn" / VERDICT, msgspec.json.encode(verdict))
    told = standing(tables, [], tmp_path)
    assert [(one["table"], one["generation"], one["rows"], one["fresh_s"]) for one in told["tables"]] == [
        ("churn", 1, 100, 1e6), ("old", 1, 100, 1.0),
    ]  # fmt: skip
    assert told["pushes"] == [
        {"table": "churn", "consumer": "https://crm.example.com/scores", "sent": 99, "refused": 1, "dead": 1}
    ]
    (job,) = told["jobs"]
    assert time.time() - job.pop("ended") < 60
    assert job == {"job": "churn", "answered": 9, "bad": 1, "seconds": 2.5}


def test_where_there_is_nothing_nothing_is_told(tmp_path):
    assert standing(open_tables(tmp_path), {}, tmp_path) == {"tables": [], "pushes": [], "jobs": []}
