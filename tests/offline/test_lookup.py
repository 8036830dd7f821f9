"""Look-ups without a door: what is asked at the same time shares one reading, and each gets what it would get alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.errors import CorruptModel, Forbidden, InvalidInput, NotFound
from servable.offline.asked import Asked
from servable.offline.lookup import Lookup
from servable.stores.tables.generation import Generation
from servable.stores.tables.keys import encode
from servable.stores.tables.layout import Layout
from servable.stores.tables.lmdb import LmdbTables
from servable.stores.tables.open import open_tables
from tests.offline.test_routes import COLUMNS, fill

NOW = time.time() + 1e4


class Counting(LmdbTables):
    """The store, which tells how many keys each reading had, and can switch to `hidden` between two calls."""

    def __init__(self, root):
        super().__init__(root)
        self.readings = []
        self.hidden = None

    def read(self, table, keys, number=None):
        self.readings.append(len(keys))
        if self.hidden is not None:
            self.switch(table, self.hidden)
        return super().read(table, keys, number)


@pytest.fixture
def tables(tmp_path):
    fill(tmp_path, fresh_s=60.0)
    opened = Counting(open_tables(tmp_path).root)
    yield opened
    opened.close()


def anybody(model):
    assert model == "scaler"


def nobody(model):
    raise Forbidden(f"not for {model}")


def alone(lookup, key, permit):
    try:
        return lookup.now("churn", key, permit)
    except (Forbidden, InvalidInput, NotFound, CorruptModel) as error:
        return type(error), error.message


def test_each_gets_what_it_would_get_alone(tables):
    lookup = Lookup(tables, now=lambda: NOW)
    asked = [("7", anybody), ("777", anybody), ("8", nobody), ("x", anybody), ("9", anybody)]
    together = [one if isinstance(one, bytes) else (type(one), one.message) for one in lookup.together("churn", asked)]
    assert tables.readings == [4]
    counted = lookup.counts["churn"].snapshot()
    assert counted == {"lookups": 3, "keys": 3, "hits": 2, "stale": 2, "computed": 0}
    assert together == [alone(lookup, *one) for one in asked]
    assert [type(one) for one in together] == [bytes, tuple, tuple, tuple, bytes]
    assert lookup.counts["churn"].snapshot() == {name: 2 * count for name, count in counted.items()}


def test_an_answer_that_cannot_be_read_spoils_no_other(tables):
    generation = tables.live("churn")
    with tables.begin(generation) as writer:
        writer.write(encode(np.arange(3)), [b"\0" * 8, b"?", b"\0" * 8])
        tables.switch("churn", writer.finish().number)
    first, broken, last = Lookup(tables, now=lambda: NOW).together("churn", [(key, anybody) for key in "012"])
    assert isinstance(broken, CorruptModel)
    assert b'"row":{"y":[0.0,0.0]}' in first
    assert b'"key":"2"' in last


def test_of_a_table_that_is_not_there_all_hear(tables):
    told = Lookup(tables).together("none", [("1", anybody), ("2", anybody)])
    assert [type(one) for one in told] == [NotFound, NotFound]


def test_another_model_or_another_kind_of_key_is_judged_as_it_is_now(tables, tmp_path):
    several, one = Lookup(tables, now=lambda: NOW), Lookup(tables, now=lambda: NOW)
    for lookup in (several, one):
        assert len(lookup.together("churn", [("1", anybody), ("2", anybody)])) == 2
    stated = Generation("churn", "other", "1", "d", NOW, "text", COLUMNS)
    with tables.begin(stated) as writer:
        writer.write([b"x"], Layout(COLUMNS).encode(Batch({"y": np.zeros((1, 2), np.float32)})))
        tables.switch("churn", writer.finish().number)
    models = []
    told = several.together("churn", [("x", models.append), ("1", nobody), ("y", anybody_else)])
    assert b'"generation":2' in told[0]
    assert [type(error) for error in told[1:]] == [Forbidden, NotFound]
    assert one.now("churn", "x", models.append) == told[0]
    assert models == ["other", "other"]
    fill(tmp_path)
    for lookup in (several, one):
        assert b'"generation":3' in lookup.now("churn", "1", anybody)
        assert [generation.number for generation in lookup.seen] == [3]


def anybody_else(model):
    assert model == "other"


def test_many_keys_are_judged_by_the_generation_that_answers(tables):
    lookup = Lookup(tables, now=lambda: NOW)
    lookup.many_now("churn", Asked([1]), anybody)
    stated = Generation("churn", "other", "1", "d", NOW, "text", COLUMNS)
    with tables.begin(stated) as writer:
        writer.write([b"1"], Layout(COLUMNS).encode(Batch({"y": np.ones((1, 2), np.float32)})))
        tables.hidden = writer.finish().number
    with pytest.raises(Forbidden):
        lookup.many_now("churn", Asked(["1"]), lambda model: nobody(model) if model == "other" else None)
    assert tables.live("churn").number == tables.hidden
    assert lookup.many_now("churn", Asked(["1"]), anybody_else).rows == [b'{"y":[1.0,1.0]}']
