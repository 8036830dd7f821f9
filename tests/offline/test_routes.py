"""Look-ups over HTTP: from an open door, by ordinary clients and our own."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, parse_headers

import httpx
import numpy as np
import pytest

from servable import Client, app
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.errors import NotFound
from servable.server.access.keys import Keys
from servable.server.http.parts import Offer
from servable.stores.tables.generation import Generation
from servable.stores.tables.keys import encode
from servable.stores.tables.layout import Layout
from servable.stores.tables.open import open_tables
from tests.packed import scaler
from tests.server.rest_served import served

COLUMNS = (Field("y", "FP32", (-1, 2)),)


def fill(home, *, table="churn", url="", count=100, model="scaler", factor=1, **more):
    """Keys 0, 1, …: 2 · (factor · key, key / 2), as the model would answer were the factor 1."""
    tables = open_tables(home, url)
    ids = np.arange(count)
    batch = Batch({"y": np.column_stack([2 * factor * ids, ids]).astype(np.float32)})
    stated = Generation(table, model, "1", "d" * 64, time.time() - 100, "integer", COLUMNS, "id", **more)
    with tables.begin(stated) as writer:
        writer.write(encode(ids), Layout(COLUMNS).encode(batch))
        generation = writer.finish()
    tables.switch(table, generation.number)
    tables.close()
    return generation


def tables(parts):
    return [Offer(*pair) for pair in app._offline(parts, app._lookup(parts))]


def quick(parts):
    return app._shortcuts(app._lookup(parts), parts.access, parts.settings)


@pytest.fixture(params=["shortcut", "ordinary"])
def door(request, tmp_path):
    fill(tmp_path, fresh_s=60.0)
    fill(tmp_path, table="live", on_miss="predict")
    models = {"scaler": {"1": scaler(tmp_path / "scaler.onnx")}}
    short = quick if request.param == "shortcut" else None
    with served(tmp_path, models, offers=tables, shortcuts=short) as door:
        yield door


def test_one_row_by_its_key(door):
    answer = door.get("/v2/tables/churn/rows/7")
    told = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert 100 <= told.pop("age_s") < 200
    assert told.pop("made_at").endswith("+00:00")
    assert told == {
        "table": "churn", "model_name": "scaler", "model_version": "1", "generation": 1, "stale": True, "key": "7",
        "row": {"y": [14.0, 7.0]},
    }  # fmt: skip
    assert door.get("/v2/tables/live/rows/7").json()["stale"] is False


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v2/tables/churn/rows/777", 404, "has no row '777'"),
        ("/v2/tables/live/rows/777", 404, "POST its inputs"),
        ("/v2/tables/churn/rows/x", 400, "expected a whole number"),
        ("/v2/tables/none/rows/1", 404, "there is no table 'none' (there are: churn, live)"),
        ("/v2/tables/none", 404, "there is no table"),
    ],
)
def test_what_is_not_there_is_told(door, path, status, said):
    answer = door.get(path)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_many_keys_at_once(door):
    told = door.post("/v2/tables/churn/lookup", json={"keys": [3, "1", 777]}).json()
    assert (told["generation"], told["rows"]) == (1, [{"y": [6.0, 3.0]}, {"y": [2.0, 1.0]}, None])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"keys":[]}', "expected a list of keys"),
        (b'{"keys":[1.5]}', "expected a whole number"),
        (b'{"keys":[true]}', "expected a whole number"),
        (b'{"keys":[99999999999999999999]}', "expected a whole number"),
        (b'{"keys":[1],"rows":[]}', "an object or null for each key"),
    ],
)
def test_a_bad_request_is_told(door, body, said):
    answer = door.post("/v2/tables/churn/lookup", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_miss_is_computed_and_remembered(door):
    asked = {"keys": [1, 1000, 1001], "rows": [None, {"x": [1, 2]}, None]}
    told = door.post("/v2/tables/live/lookup", json=asked).json()
    assert (told["computed"], told["rows"]) == (1, [{"y": [2.0, 1.0]}, {"y": [2.0, 4.0]}, None])
    assert door.get("/v2/tables/live/rows/1000").json()["row"] == {"y": [2.0, 4.0]}
    assert door.post("/v2/tables/churn/lookup", json=asked).json()["rows"][1] is None
    wrong = {"keys": [2000], "rows": [{"x": ["a", "b"]}]}
    assert door.post("/v2/tables/live/lookup", json=wrong).status_code == 400


def test_tables_tell_what_they_are(door):
    told = {table["table"]: table for table in door.get("/v2/tables").json()["tables"]}
    assert {name: (one["rows"], one["stale"], one["on_miss"]) for name, one in told.items()} == {
        "churn": (100, True, "refuse"),
        "live": (100, False, "predict"),
    }
    assert door.get("/v2/tables/churn").json()["columns"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]


def test_a_new_generation_is_seen_at_once(door):
    fill(door.home, count=3)
    assert door.get("/v2/tables/churn/rows/2").json()["generation"] == 2
    assert door.get("/v2/tables/churn/rows/7").status_code == 404


def test_subscribers_hear_of_what_changes(door):
    with door.http.stream("GET", f"{door.url}/v2/tables/churn/changes") as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("data")) == "data: 1"
        fill(door.home, count=98)
        heard = [next(line for line in lines if line.startswith("data")) for _ in range(3)]
    assert [json.loads(line[6:])["key"] for line in heard[:2]] == [98, 99]
    assert heard[2] == "data: 2"
    with door.http.stream("GET", f"{door.url}/v2/tables/churn/changes", headers={"last-event-id": "1"}) as stream:
        assert next(line for line in stream.iter_lines() if line.startswith("data")) == heard[0]
    assert door.get("/v2/tables/churn/changes", headers={"last-event-id": "x"}).status_code == 400


def test_what_is_asked_at_the_same_time_is_answered_each_for_itself(door):
    paths = [*(f"churn/rows/{key}" for key in (7, 777, "x", 8)), "none/rows/1", "live/rows/3", "churn/rows/9"]
    told = pipelined(door, [f"/v2/tables/{path}" for path in paths])
    assert [status for status, _ in told] == [200, 404, 400, 200, 404, 200, 200]
    rows = [(body["table"], body["key"], body["row"]["y"][0], body["stale"]) for _, body in told if "row" in body]
    assert rows == [
        ("churn", "7", 14.0, True), ("churn", "8", 16.0, True), ("live", "3", 6.0, False), ("churn", "9", 18.0, True),
    ]  # fmt: skip
    assert "has no row '777'" in told[1][1]["error"]
    assert "expected a whole number" in told[2][1]["error"]
    assert "no table 'none'" in told[4][1]["error"]


def test_no_read_fails_or_is_mixed_while_generations_switch(door):
    for factor in (1, 2):
        fill(door.home, table="turns", factor=factor)
    last, over, seen = threading.Event(), 60, [set(), set()]

    def read(generations):
        while not last.is_set():
            told = pipelined(door, [f"/v2/tables/turns/rows/{key}" for key in range(20)])
            for key, (status, body) in enumerate(told):
                assert (status, body["row"]["y"]) == (200, [2.0 * key * body["generation"], 1.0 * key])
            many = door.post("/v2/tables/turns/lookup", json={"keys": list(range(20))}).json()
            assert {row["y"][0] for row in many["rows"]} == {2.0 * key * many["generation"] for key in range(20)}
            generations |= {body["generation"] for _, body in told}

    with ThreadPoolExecutor(len(seen)) as readers, contextlib.closing(open_tables(door.home)) as store:
        reading = [readers.submit(read, generations) for generations in seen]
        switches = 0
        while switches < over or seen != [{1, 2}, {1, 2}]:
            store.switch("turns", 1 + switches % 2)
            switches += 1
            if any(one.done() for one in reading):
                break
        last.set()
        for one in reading:
            one.result()


def test_who_hangs_up_before_the_answer_harms_nobody(door, caplog):
    asked = b"GET /v2/tables/churn/rows/7 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 30
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", httpx.URL(door.url).port), timeout=30) as wire:
            wire.sendall(asked)
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not closed in peace
        assert door.get("/v2/tables/churn/rows/7").status_code == 200
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


def pipelined(door, paths):
    """The answers to requests that are sent in one piece."""
    with contextlib.closing(HTTPConnection("127.0.0.1", httpx.URL(door.url).port, timeout=30)) as connection:
        connection.connect()
        connection.sock.sendall(
            b"".join(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode() for path in paths)
        )
        parts = connection.sock.makefile("rb")
        answers = []
        for _ in paths:
            status = int(parts.readline().split()[1])
            headers = parse_headers(parts)
            answers.append((status, json.loads(parts.read(int(headers["content-length"])))))
        return answers


def test_the_client_looks_up(door):
    with Client(door.url) as client:
        assert client.lookup("churn", [3, 777])["rows"] == [{"y": [6.0, 3.0]}, None]
        assert client.lookup("churn", np.arange(2))["rows"][1] == {"y": [2.0, 1.0]}
        assert client.lookup("live", 5000, [{"x": [1, 1]}])["computed"] == 1
        with pytest.raises(NotFound, match="no table 'none'"):
            client.lookup("none", ["a"])


def test_a_table_is_its_models(tmp_path):
    fill(tmp_path)
    fill(tmp_path, table="secret", model="other")
    keys = Keys(tmp_path)
    mine, _ = keys.create("ada", ["invoker"], ["scaler"], None)
    viewer, _ = keys.create("bob", ["viewer"], ["*"], None)
    models = {"scaler": {"1": scaler(tmp_path / "scaler.onnx")}}
    with served(tmp_path, models, offers=tables, shortcuts=quick, require_key=True) as door:
        ada, bob = ({"authorization": f"Bearer {secret}"} for secret in (mine, viewer))
        assert door.get("/v2/tables/churn/rows/1").status_code == 401
        assert door.get("/v2/tables/churn/rows/1", headers=ada).status_code == 200
        assert door.get("/v2/tables/secret/rows/1", headers=ada).status_code == 403
        assert door.post("/v2/tables/secret/lookup", headers=ada, json={"keys": [1]}).status_code == 403
        assert door.get("/v2/tables/churn/rows/1", headers=bob).status_code == 403
        assert [one["table"] for one in door.get("/v2/tables", headers=ada).json()["tables"]] == ["churn"]
