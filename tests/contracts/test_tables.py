"""What every store of tables promises, asked of each for real."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from servable.domain.field import Field
from servable.errors import Conflict, NotFound, UsageError
from servable.stores.tables.generation import Generation
from servable.stores.tables.history import retain, roll_back
from servable.stores.tables.keys import decode, encode, encode_one
from servable.stores.tables.open import open_tables
from tests.stores.tables import places

COLUMNS = (Field("score", "FP32"),)


def stated(table="churn", **more):
    return Generation(table, "churn", "3", "d" * 64, 1000.0, "text", COLUMNS, **more)


def fill(tables, rows, table="churn", **more):
    with tables.begin(stated(table, **more)) as writer:
        writer.write([key.encode() for key in rows], [value.encode() for value in rows.values()])
        generation = writer.finish()
    return tables.switch(table, generation.number)


def read(tables, *keys, table="churn", number=None):
    found = tables.read(table, [key.encode() for key in keys], number)
    return [None if answer is None else answer.decode() for answer in found.answers]


@pytest.fixture(params=places.STORES)
def url(request, tmp_path):
    with places.STORES[request.param](tmp_path) as url:
        yield url


@pytest.fixture
def tables(url, tmp_path):
    opened = open_tables(tmp_path, url)
    yield opened
    opened.close()


def test_a_generation_is_seen_when_it_is_live_and_not_before(tables):
    assert tables.names() == []
    with tables.begin(stated(fresh_s=60.0)) as writer:
        assert writer.write([b"a", b"b"], [b"1", b"2"]) == 2
        assert tables.generations("churn") == []
        finished = writer.finish()
    assert (finished.rows, tables.generations("churn"), tables.names()) == (2, [finished], [])
    with pytest.raises(NotFound, match="churn"):
        tables.read("churn", [b"a"])
    assert tables.switch("churn", finished.number) == finished
    assert tables.live("churn") == finished
    assert tables.names() == ["churn"]
    assert read(tables, "b", "x", "a") == ["2", None, "1"]


def test_who_ends_without_finishing_leaves_nothing(tables):
    live = fill(tables, {"a": "1"})
    with tables.begin(stated()) as writer:
        writer.write([b"a"], [b"2"])
    assert tables.generations("churn") == [live]
    assert read(tables, "a") == ["1"]
    assert fill(tables, {"a": "3"}).number > live.number


def test_one_writer_a_table(tables):
    with tables.begin(stated()):
        with pytest.raises(Conflict, match="churn"):
            tables.begin(stated())
        fill(tables, {"a": "1"}, "other")
    fill(tables, {"a": "1"})


@pytest.mark.parametrize(("keep", "stays"), [("last", "3"), ("first", "1")])
def test_of_two_answers_to_a_key_one_stays(tables, keep, stays):
    with tables.begin(stated()) as writer:
        assert writer.write([b"a", b"b", b"a"], [b"1", b"x", b"2"], keep) == 2
        assert writer.write([b"a"], [b"3"], keep) == 0
        generation = writer.finish()
    tables.switch("churn", generation.number)
    assert (generation.rows, read(tables, "a", "b")) == (2, [stays, "x"])


def test_keys_and_answers_may_be_any_bytes(tables):
    keys = [b"\0", b"\xff" * 511, "ключ".encode(), *encode(np.array([-(2**63), -1, 0, 2**63 - 1]))]
    answers = [b"", b"\0" * 10, bytes(range(256)), b"a", b"b", b"c", b"x" * 10_000]
    with tables.begin(stated()) as writer:
        writer.write(keys, answers)
        tables.switch("churn", writer.finish().number)
    assert tables.read("churn", keys).answers == answers
    (number,) = (generation.number for generation in tables.generations("churn"))
    assert sorted(pair for block in tables.scan("churn", number) for pair in block) == sorted(
        zip(keys, answers, strict=True)
    )


def test_many_blocks_in_any_order(tables):
    order = random.Random(0)
    keys = [b"%08d" % number for number in range(5_000)]
    order.shuffle(keys)
    with tables.begin(stated()) as writer:
        for start in range(0, len(keys), 700):
            part = keys[start : start + 700]
            assert writer.write(part, [key[::-1] for key in part]) == len(part)
        tables.switch("churn", writer.finish().number)
    asked = [*keys[:100], b"none"]
    assert tables.read("churn", asked).answers == [*(key[::-1] for key in keys[:100]), None]
    assert tables.live("churn").rows == 5_000


def test_an_older_generation_comes_back(tables):
    first, second = fill(tables, {"a": "1"}), fill(tables, {"a": "2", "b": "2"})
    assert read(tables, "a", number=first.number) == ["1"]
    assert roll_back(tables, "churn") == first
    assert read(tables, "a", "b") == ["1", None]
    with pytest.raises(Conflict, match="nothing to roll back to"):
        roll_back(tables, "churn")
    assert tables.switch("churn", second.number) == second


def test_what_is_dropped_is_gone(tables):
    kept = [fill(tables, {"a": str(number)}) for number in range(4)]
    assert retain(tables, "churn", 2) == [kept[0].number, kept[1].number]
    assert tables.generations("churn") == kept[2:]
    with pytest.raises(NotFound, match="has no generation"):
        tables.switch("churn", kept[0].number)
    with pytest.raises(Conflict, match="is live"):
        tables.drop("churn", kept[3].number)
    assert read(tables, "a") == ["3"]
    tables.drop("churn")
    assert (tables.names(), tables.generations("churn")) == ([], [])
    with pytest.raises(NotFound, match="churn"):
        tables.drop("churn")
    assert fill(tables, {"a": "5"}).number > kept[3].number


def test_answers_can_be_remembered(tables):
    generation = fill(tables, {"a": "1"}, on_miss="predict")
    assert read(tables, "b") == [None]
    tables.remember(generation, [b"b", b"a"], [b"2", b"x"])
    assert read(tables, "a", "b") == ["1", "2"]
    fill(tables, {"a": "3"}, on_miss="predict")
    assert read(tables, "b") == [None]


def test_others_see_a_switch_at_once(tables, url, tmp_path):
    first = fill(tables, {"a": "1"})
    other = open_tables(tmp_path, url)
    assert read(other, "a") == ["1"]
    fill(tables, {"a": "2"})
    assert read(other, "a") == ["2"]
    tables.drop("churn", first.number)
    assert read(other, "a") == ["2"]
    other.close()


def test_nobody_ever_reads_two_generations_at_once(url, tmp_path, tables):
    """While generations come and go: every answer of a look-up is of the generation that the look-up names."""
    keys = [f"{number}" for number in range(50)]

    def make(mark):
        generation = fill(tables, dict.fromkeys(keys, str(mark)))
        retain(tables, "churn", 2)
        return generation.number

    marks = {make(0): "0"}
    over = threading.Event()
    seen, wrong = set(), []

    def watch():
        reader = open_tables(tmp_path, url)
        while not over.is_set():
            found = reader.read("churn", [key.encode() for key in keys])
            values = set(found.answers)
            seen.add((found.generation.number, *values))
            if len(values) != 1:
                wrong.append(values)
        reader.close()

    thread = threading.Thread(target=watch)
    thread.start()
    for mark in range(1, 12):
        marks[make(mark)] = str(mark)
    over.set()
    thread.join(30)
    assert not wrong
    assert {(number, marks[number].encode()) for number, *_ in seen} == seen


def test_names_and_numbers_that_are_not_there(tables):
    with pytest.raises(NotFound, match="no table 'x'"):
        tables.live("x")
    with pytest.raises(NotFound, match="no table 'x'"):
        tables.read("x", [b"a"])
    fill(tables, {"a": "1"})
    with pytest.raises(NotFound, match="has no generation 77"):
        tables.read("churn", [b"a"], 77)
    with pytest.raises(NotFound, match="has no generation 77"):
        list(tables.scan("churn", 77))
    with pytest.raises(UsageError, match="cannot name a table"):
        stated("../x")


def test_keys_come_back_as_they_were():
    for kind, values in (("integer", [-(2**63), -1, 0, 7, 2**63 - 1]), ("text", ["a", "ключ", "7"])):
        assert [decode(encode_one(value, kind), kind) for value in values] == values
    assert encode_one("42", "integer") == encode_one(42, "integer")
