"""Outcomes over HTTP: taken for every model, on disk before anybody is told so."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

import servable
from servable.domain.outcome import Outcome
from servable.errors import InvalidInput, NotFound, Unavailable
from servable.monitoring.device_records import DeviceRecords
from servable.monitoring.intake import Intake
from servable.monitoring.json_lines import JsonLines
from servable.monitoring.outcomes import Outcomes
from servable.monitoring.routes import Asked, routes
from servable.server.http.guard import caller_of
from servable.server.http.parts import Offer
from tests.packed import scaler
from tests.server.rest_served import served


@pytest.fixture
def store(tmp_path):
    return Outcomes.at("", tmp_path / "home", days=90.0)


@pytest.fixture
def devices(tmp_path):
    return DeviceRecords.at("", tmp_path / "home", days=90.0)


@pytest.fixture
def door(tmp_path, store, devices):
    def offers(parts):
        def find(name):
            serving = parts.router.pick(name)
            return Asked(serving.version, serving.signature, kept=False, teach=None)

        def caller(request):
            return caller_of(request).name

        lines = JsonLines(tmp_path / "records.jsonl")
        return [Offer(*pair) for pair in routes(Intake(lambda: store), find, caller, lambda: devices, lambda: lines)]

    with served(tmp_path / "home", {"m": {"1": scaler(tmp_path / "m.onnx")}}, offers=offers) as door:
        yield door


def test_what_was_acknowledged_is_on_disk(door, store):
    with servable.Client(door.url) as client:
        told = client.feedback("m", [{"id": "a", "outcome": 1}, {"id": "b", "outcome": "x", "time": 9, "version": 2}])
    assert told == {"model_name": "m", "model_version": "1", "accepted": 2}
    assert [told.outcome for told in store.outcomes_of("m", ["a", "b"])] == [
        Outcome("a", 1),
        Outcome("b", "x", 9.0, 2),
    ]


def test_the_async_client_tells_them_too(door, store):
    async def tell():
        async with servable.AsyncClient(door.url) as client:
            return await client.feedback("m", [{"id": "a", "outcome": True}])

    assert asyncio.run(tell())["accepted"] == 1
    assert store.last() == 1


def test_what_nobody_serves_or_means_is_refused(door, store):
    with servable.Client(door.url) as client:
        with pytest.raises(NotFound, match="no model 'n' is served"):
            client.feedback("n", [{"id": "a", "outcome": 1}])
        with pytest.raises(InvalidInput, match="true or false"):
            client.feedback("m", [{"id": "a", "outcome": 1}, {"id": "b", "outcome": None}])
    assert store.last() == 0


def test_a_disk_that_refuses_is_told_and_nothing_is_lost_by_sending_again(door, store, tmp_path):
    file = tmp_path / "home" / "outcomes.db"
    file.mkdir(parents=True)
    with servable.Client(door.url) as client:
        with pytest.raises(Unavailable, match="send the outcomes again"):
            client.feedback("m", [{"id": "a", "outcome": 1}])
        file.rmdir()
        assert client.feedback("m", [{"id": "a", "outcome": 1}])["accepted"] == 1
    assert store.last() == 1


def test_what_is_older_than_its_days_is_let_go(tmp_path):
    store = Outcomes.at("", tmp_path, days=0.0)
    store.take([("m", "ada", Outcome("old", 1))])
    later = Outcomes.at("", tmp_path, days=0.0)
    later.take([("m", "ada", Outcome("new", 1))])
    assert later.outcomes_of("m", ["old"]) == []


def test_records_of_devices_lie_beside_those_of_the_server(door, devices, tmp_path):
    record = {
        "id": "a",
        "version": "1",
        "time": 9.0,
        "inputs": [{"x": [1, 2]}],
        "outputs": [{"y": [2, 4]}],
        "share": 0.5,
    }
    told = asyncio.run(posted(f"{door.url}/v2/models/m/records", {"records": [record, record]}))
    assert told == (202, {"model_name": "m", "accepted": 2, "new": 1})
    assert [one.id for _, one in devices.after("m", 0, 9)] == ["a"]
    assert asyncio.run(posted(f"{door.url}/v2/models/m/records", {"records": [record]}))[1]["new"] == 0
    (line,) = (tmp_path / "records.jsonl").read_text().splitlines()
    line = json.loads(line)
    assert (line["model"], line["target"], line["weight"], line["rows"]) == ("m", "edge", 2.0, 1)
    assert line["inputs"] == {"x": [[1, 2]]}


async def posted(url, body):
    async with httpx.AsyncClient() as client:
        answer = await client.post(url, json=body)
    return answer.status_code, answer.json()
