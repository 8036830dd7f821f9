"""Look-ups in every store: what each answer carries, what a miss is, and what becomes of one that was computed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.errors import NotFound, Unavailable
from servable.offline.asked import Asked
from servable.offline.lookup import Lookup
from servable.stores.tables.history import roll_back
from servable.stores.tables.open import open_tables
from tests.offline.test_routes import fill
from tests.stores.tables import places


def anybody(model):
    assert model == "scaler"


async def double(name, version, rows):
    assert (name, version) == ("scaler", "1")
    return Batch({"y": 2 * np.array([row["x"] for row in rows], np.float32)})


@pytest.mark.parametrize("store", places.STORES)
async def test_every_store_answers_alike(store, tmp_path):
    with places.STORES[store](tmp_path) as url:
        fill(tmp_path, url=url, fresh_s=60.0)
        fill(tmp_path, url=url, table="live", on_miss="predict", fresh_s=1e6)
        tables = open_tables(tmp_path, url)
        lookup = Lookup(tables, double)

        async def one(table, key):
            told = json.loads(await lookup.one(table, key, anybody))
            assert 100 <= told.pop("age_s") < 200 and told.pop("made_at").endswith("+00:00")
            return told

        async def many(table, keys, rows=None):
            return json.loads((await lookup.many(table, Asked(keys, rows), anybody)).json())

        head = {"table": "churn", "model_name": "scaler", "model_version": "1", "generation": 1, "stale": True}
        assert await one("churn", "7") == {**head, "key": "7", "row": {"y": [14.0, 7.0]}}
        told = await many("churn", [1, "2", 777])
        assert {name: told[name] for name in head} == head
        assert told["rows"] == [{"y": [2.0, 1.0]}, {"y": [4.0, 2.0]}, None]
        with pytest.raises(NotFound, match="has no row '777'"):
            await one("churn", "777")
        with pytest.raises(NotFound, match="POST its inputs"):
            await one("live", "777")
        told = await many("live", [777, 778, 3], [{"x": [1, 2]}, None, {"x": [9, 9]}])
        assert (told["stale"], told["computed"]) == (False, 1)
        assert told["rows"] == [{"y": [2.0, 4.0]}, None, {"y": [6.0, 3.0]}]
        assert (await one("live", "777"))["row"] == {"y": [2.0, 4.0]}
        fill(tmp_path, url=url, count=3)
        assert (await one("churn", "2"))["generation"] == 2
        roll_back(tables, "churn")
        assert (await one("churn", "7"))["generation"] == 1
        tables.close()


async def test_a_store_that_is_gone_is_told(tmp_path):
    with places.redis_server(tmp_path) as (url, server):
        fill(tmp_path, url=url)
        tables = open_tables(tmp_path, url)
        lookup = Lookup(tables)
        assert json.loads(await lookup.one("churn", "3", anybody))["row"] == {"y": [6.0, 3.0]}
        server.kill()
        server.wait()
        for asked in (lookup.one("churn", "3", anybody), lookup.many("churn", Asked(["3"]), anybody)):
            with pytest.raises(Unavailable, match="cannot reach the tables in Redis"):
                await asked
        tables.close()
