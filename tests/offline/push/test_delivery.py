from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.errors import Conflict
from servable.offline.push.delivery import Delivery
from servable.offline.push.message import Fails, NoAnswer, Refused
from servable.offline.push.outbox import DEAD, Outbox
from servable.offline.push.webhook import new_secret
from servable.stores.tables.generation import Generation
from servable.stores.tables.keys import encode
from servable.stores.tables.layout import Layout
from servable.stores.tables.open import open_tables
from tests.offline.push.consumers import Remembering, webhook

COLUMNS = (Field("y", "FP32"),)


@pytest.fixture
def tables(tmp_path):
    opened = open_tables(tmp_path)
    yield opened
    opened.close()


def make(tables, rows):
    stated = Generation("t", "m", "1", "d", 1000.0, "integer", COLUMNS)
    with tables.begin(stated) as writer:
        batch = Batch({"y": np.array(list(rows.values()), np.float32)})
        writer.write(encode(np.array(list(rows))), Layout(COLUMNS).encode(batch))
        return tables.switch("t", writer.finish().number)


def deliver(tables, home, sink, **more):
    waits = []
    told = Delivery(tables, home, lambda: sink, wait=lambda *told: waits.append(told), **more).deliver("t", "here")
    return told, waits


def test_all_rows_first_and_then_what_changed(tables, tmp_path):
    sink = Remembering()
    make(tables, {1: 1, 2: 2, 3: 3})
    assert deliver(tables, tmp_path, sink)[0] == (1, 3, 0)
    assert deliver(tables, tmp_path, sink)[0] == (1, 0, 0)
    make(tables, {1: 1, 2: 22, 4: 4})
    assert deliver(tables, tmp_path, sink)[0] == (2, 3, 0)
    assert [(message.key, json.loads(message.body)["row"]) for message in sink.taken[3:]] == [
        ("2", {"y": 22.0}),
        ("4", {"y": 4.0}),
        ("3", None),
    ]
    told = json.loads(sink.taken[3].body)
    assert told == {
        "id": "t/2/0", "table": "t", "generation": 2, "model_name": "m", "model_version": "1", "made_at": 1000.0,
        "key": 2, "row": {"y": 22.0},
    }  # fmt: skip


def test_every_row_if_that_is_wanted_or_the_generation_before_is_gone(tables, tmp_path):
    sink = Remembering()
    for generation in range(1, 3):
        make(tables, {1: 1, 2: 2})
        assert deliver(tables, tmp_path, sink, every=True)[0] == (generation, 2, 0)
    make(tables, {1: 1})
    tables.drop("t", 2)
    assert deliver(tables, tmp_path, sink)[0] == (3, 1, 0)


def test_a_consumer_that_comes_back_goes_on_where_it_was(tables, tmp_path):
    make(tables, {number: number for number in range(100)})
    fails = iter([False, False, True, True, True, False])

    def answer(messages):
        if next(fails, False):
            raise NoAnswer("down")

    sink = Remembering(answer)
    told, waits = deliver(tables, tmp_path, sink, at_once=10)
    assert told == (1, 100, 0)
    assert [why for _, why in waits] == [f"down (attempt {attempt} of 8)" for attempt in (1, 2, 3)]
    assert all(0 <= pause <= 2.0 for pause, _ in waits)
    assert [message.key for message in sink.taken] == list(map(str, range(100)))


def test_after_bounded_retries_it_stops_with_nothing_lost(tables, tmp_path):
    make(tables, {number: number for number in range(100)})
    count = 0

    def answer(messages):
        nonlocal count
        count += 1
        if count > 4:
            raise NoAnswer("down")

    down = Remembering(answer)
    with pytest.raises(NoAnswer, match="did not answer 3 times: down; nothing is lost"):
        deliver(tables, tmp_path, down, at_once=10, attempts=3)
    make(tables, {1: 111})  # meanwhile there is a newer generation: first comes what was under way, then its changes
    back = Remembering()
    told, _ = deliver(tables, tmp_path, back, at_once=10)
    assert told.generation == 2
    assert [message.key for message in down.taken] == list(map(str, range(40)))
    assert [message.key for message in back.taken[:60]] == list(map(str, range(40, 100)))
    assert back.rows["1"] == {"y": 111.0}
    assert back.rows["50"] is None


def test_a_message_that_is_refused_is_set_aside_alone(tables, tmp_path):
    make(tables, {number: number for number in range(100)})

    def answer(messages):
        if any(message.key in {"17", "60"} for message in messages):
            raise Refused("not that one")

    sink = Remembering(answer)
    told, waits = deliver(tables, tmp_path, sink)
    assert (told, waits) == ((1, 98, 2), [])
    assert len({message.key for message in sink.taken}) == 98
    with Outbox(tmp_path, "t", "here") as outbox:
        dead = [json.loads(line) for line in (outbox.folder / DEAD).read_text().splitlines()]
    assert [(line["key"], line["reason"], line["message"]["row"]) for line in dead] == [
        ("17", "not that one", {"y": 17.0}),
        ("60", "not that one", {"y": 60.0}),
    ]


@pytest.mark.parametrize("bad", [{"0"}, {"99"}, {"0", "1", "2"}, {"17", "60", "61"}])
def test_a_message_that_the_consumer_fails_on_is_set_aside_after_bounded_attempts(tables, tmp_path, bad):
    """It takes the others: so it is the message."""
    make(tables, {number: number for number in range(100)})
    offered = []

    def answer(messages):
        offered.append([message.key for message in messages])
        if any(message.key in bad for message in messages):
            raise Fails("the webhook answered 500")

    sink = Remembering(answer)
    told, waits = deliver(tables, tmp_path, sink, attempts=3)
    assert told == (1, 100 - len(bad), len(bad))
    assert {message.key for message in sink.taken} == {str(number) for number in range(100)} - bad
    assert [offered.count([key]) for key in sorted(bad)] == [3] * len(bad)
    assert offered.count([str(number) for number in range(100)]) == 3 and len(waits) == 2 + 2 * len(bad)
    with Outbox(tmp_path, "t", "here") as outbox:
        dead = [json.loads(line) for line in (outbox.folder / DEAD).read_text().splitlines()]
    assert {(line["key"], line["reason"]) for line in dead} == {(key, "the webhook answered 500") for key in bad}


@pytest.mark.parametrize("rows", [2, 100])
def test_a_consumer_that_fails_on_all_is_given_up_with_nothing_lost(tables, tmp_path, rows):
    make(tables, {number: number for number in range(rows)})

    def answer(_):
        raise Fails("the webhook answered 500")

    with pytest.raises(NoAnswer, match="nothing is lost"):
        deliver(tables, tmp_path, Remembering(answer), attempts=3)
    back = Remembering()
    assert deliver(tables, tmp_path, back)[0] == (1, rows, 0)


def test_the_only_message_is_set_aside_too(tables, tmp_path):
    """Or one that a consumer fails on would hold up all that follow, for ever."""
    make(tables, {1: 1})
    faults = [Fails("500"), Fails("500"), None]

    def answer(_):
        if (fault := faults.pop(0)) is not None:
            raise fault

    sink = Remembering(answer)
    assert deliver(tables, tmp_path, sink, attempts=2)[0] == (1, 0, 1)
    assert Delivery(tables, tmp_path, lambda: sink).deliver("t", "here", dead=True) == (1, 1, 0)


def test_what_was_refused_is_offered_again_as_it_stands_now(tables, tmp_path):
    make(tables, {number: number for number in range(20)})
    refuses = {"3", "7", "9", "11"}

    def answer(messages):
        if any(message.key in refuses for message in messages):
            raise Refused("not that one")

    sink = Remembering(answer)
    assert deliver(tables, tmp_path, sink)[0] == (1, 16, 4)
    make(tables, {number: (70 if number == 7 else number) for number in range(20) if number != 9})
    refuses -= {"3", "7", "9"}
    told = Delivery(tables, tmp_path, lambda: sink).deliver("t", "here", dead=True)
    assert told == (2, 2 + 3, 1)  # two that changed, then the four that were refused: one is refused again
    assert [(message.key, json.loads(message.body)["row"]) for message in sink.taken[-3:]] == [
        ("3", {"y": 3.0}), ("7", {"y": 70.0}), ("9", None),
    ]  # fmt: skip
    with Outbox(tmp_path, "t", "here") as outbox:
        assert [json.loads(line)["key"] for line in (outbox.folder / DEAD).read_text().splitlines()] == ["11"]
        assert (outbox.cursor.sent, outbox.cursor.refused, outbox.cursor.dead) == (21, 5, 1)
    refuses.clear()
    assert Delivery(tables, tmp_path, lambda: sink).deliver("t", "here", dead=True) == (2, 1, 0)
    assert Delivery(tables, tmp_path, lambda: sink).deliver("t", "here", dead=True) == (2, 0, 0)


def test_what_is_offered_again_to_a_consumer_that_is_down_stays(tables, tmp_path):
    make(tables, {1: 1, 2: 2})
    faults = [Refused("no"), Refused("no"), Refused("no"), NoAnswer("down"), None]

    def answer(_):
        fault = faults.pop(0)
        if fault is not None:
            raise fault

    sink = Remembering(answer)
    assert deliver(tables, tmp_path, sink)[0] == (1, 0, 2)
    with pytest.raises(NoAnswer):
        Delivery(tables, tmp_path, lambda: sink, attempts=1).deliver("t", "here", dead=True)
    assert Delivery(tables, tmp_path, lambda: sink).deliver("t", "here", dead=True) == (1, 2, 0)
    assert sink.rows == {"1": {"y": 1.0}, "2": {"y": 2.0}}


@pytest.mark.faults
def test_killed_in_the_middle_it_goes_on_where_it_was_acknowledged(tables, tmp_path):
    make(tables, {number: number for number in range(20_000)})
    with webhook() as hook:
        environ = {**os.environ, "SERVABLE_WEBHOOK_SECRET": new_secret()}
        words = ["table", "push", "t", "--to", hook.url, "--home", str(tmp_path)]
        command = [sys.executable, "-m", "servable", *words]
        for count in (5, 15):
            push = subprocess.Popen(command, env=environ)
            while len(hook.seen) < count:
                assert push.poll() is None
            push.kill()
            push.wait()
        assert subprocess.run(command, env=environ, check=False).returncode == 0
        keys = [message["key"] for message in hook.messages]
    assert set(keys) == set(range(20_000))
    assert len(keys) <= 20_000 + 2 * 500  # what was not acknowledged came again, and no more
    assert sorted(dict.fromkeys(keys)) == list(dict.fromkeys(keys))  # in order


def test_one_delivery_at_a_time(tables, tmp_path):
    make(tables, {1: 1})
    with Outbox(tmp_path, "t", "here"), pytest.raises(Conflict, match="by another process"):
        deliver(tables, tmp_path, Remembering())
