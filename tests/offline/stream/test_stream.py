"""A model as a step in streams: standard input, and real brokers; killed in the middle, and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from servable.engine.loading import load
from servable.engine.plan import Target
from servable.errors import Unavailable, UsageError
from servable.offline.stream.flow import Flow
from servable.offline.stream.kafka import KafkaPipe
from servable.offline.stream.nats import NatsPipe
from servable.offline.stream.open import open_pipe
from servable.offline.stream.pipe import Received
from servable.offline.stream.redis import RedisPipe
from tests.offline.push.test_sinks import _collected, nats_server
from tests.packed import scaler
from tests.stores.tables import places


@pytest.fixture
def flow(tmp_path):
    target = Target("scaler", "1", str(scaler(tmp_path / "scaler.onnx")))
    loaded = load(target, warm_up=False)
    yield Flow(target, loaded.model, loaded.bundle)
    loaded.model.close()


def row(number):
    return b'{"x": [%d, 1]}' % number


def drained(flow, pipe, count):
    """Run until so many messages are answered."""
    over = threading.Event()

    def told(flown):
        if flown.messages >= count:
            over.set()

    return flow.run(pipe, over, told)


def test_each_message_gets_one_answer_in_its_place(flow):
    bodies = [row(1), b"nope", b"[]", b'{"x": [1]}', b'{"x": ["a", 1]}', b"{}", row(2)]
    answers, errors = flow.answer([Received(str(at), body) for at, body in enumerate(bodies)])
    told = [json.loads(answer) for answer in answers]
    assert errors == 5
    assert told[0] == {"id": "0", "model_name": "scaler", "model_version": "1", "row": {"y": [2.0, 2.0]}}
    assert told[6]["row"] == {"y": [4.0, 2.0]}
    assert [one["id"] for one in told if "error" in one] == ["1", "2", "3", "4", "5"]
    assert "not a JSON object" in told[1]["error"] and "expected 2 values" in told[3]["error"]


def test_nothing_is_taken_before_what_was_taken_is_answered(flow):
    """A slow consumer slows the stream, and fills no memory."""
    happened = []

    class Slow:
        def take(self, most):
            happened.append("take")
            return [Received("1", row(1))] * 3 if happened.count("take") < 4 else None

        def answer(self, received, answers):
            happened.append(f"answer {len(answers)}")

        def close(self):
            pass

    assert flow.run(Slow(), threading.Event()) == (9, 0)
    assert happened == ["take", "answer 3"] * 3 + ["take"]


def test_standard_input(tmp_path):
    command = [sys.executable, "-m", "servable", "stream", str(scaler(tmp_path / "s.onnx")), "--home", str(tmp_path)]
    lines = b"\n".join(row(number) for number in range(3000)) + b"\nnope"
    done = subprocess.run(command, input=lines, capture_output=True, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["row"]["y"][0] for one in told[:-1]] == [2.0 * number for number in range(3000)]
    assert "error" in told[-1]
    assert b"3001 messages answered, 1 of them with an error" in done.stderr


def test_a_redis_stream_is_answered_once_whoever_dies(flow, tmp_path):
    import redis

    with places.redis_server(tmp_path) as (url, server):
        client = redis.Redis.from_url(url)
        for number in range(50):
            client.xadd("in", {"body": row(number)})
        dead = RedisPipe(url, "in", "out", "g", "me")
        assert len(dead.take(20)) == 20  # taken, and then it died
        dead.close()
        pipe = RedisPipe(url, "in", "out", "g", "me")
        assert drained(flow, pipe, 50) == (50, 0)
        assert pipe.take(10) == []
        answers = [json.loads(fields[b"body"]) for _, fields in client.xrange("out")]
        assert [one["row"]["y"][0] for one in answers] == [2.0 * number for number in range(50)]
        assert client.xpending("in", "g")["pending"] == 0
        client.xadd("in", {"x": "no list"})
        assert drained(flow, pipe, 1) == (1, 1)
        client.close()
        server.kill()
        server.wait()
        with pytest.raises(Unavailable, match="Redis does not answer"):
            pipe.take(1)
        pipe.close()


def test_a_nats_stream_is_answered_once(flow, tmp_path):
    import nats

    async def fill(url):
        connection = await nats.connect(url)
        stream = connection.jetstream()
        await stream.add_stream(name="s", subjects=["in", "out"])
        for number in range(30):
            await stream.publish("in", row(number))
        await connection.close()

    with nats_server(tmp_path) as (url, _):
        asyncio.run(fill(url))
        pipe = NatsPipe(url, "in", "out", "d")
        received = pipe.take(10)
        answers, _ = flow.answer(received)
        pipe._loop.run_until_complete(pipe._publish(received, answers))  # and then it died
        pipe.answer(received, answers)
        assert drained(flow, pipe, 20) == (20, 0)
        pipe.close()
        found = asyncio.run(_collected(url, "out"))
    assert [json.loads(one.data)["row"]["y"][0] for one in found] == [2.0 * number for number in range(30)]


def test_a_kafka_topic_is_answered_in_transactions(flow):
    from confluent_kafka import Consumer, Producer

    host = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = host.list_topics(timeout=10).brokers.values()
    servers = f"{broker.host}:{broker.port}"
    feeder = Producer({"bootstrap.servers": servers})
    for number in range(20):
        feeder.produce("in", row(number), key=b"k")
    feeder.flush(10)
    dead = KafkaPipe(servers, "in", "out", "g", "me")
    taken: list[Received] = []
    while len(taken) < 20:
        taken += dead.take(20)
    dead.close()  # taken and not answered: they come again
    pipe = KafkaPipe(servers, "in", "out", "g", "me")
    assert drained(flow, pipe, 20) == (20, 0)
    assert pipe.take(10) == []
    pipe.close()
    reader = Consumer(
        {
            "bootstrap.servers": servers, "group.id": "r", "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )  # fmt: skip
    reader.subscribe(["out"])
    found = []
    while len(found) < 20 and (message := reader.poll(15.0)) is not None:
        found.append(json.loads(message.value())["row"]["y"][0])
    reader.close()
    assert found == [2.0 * number for number in range(20)]


def test_what_cannot_be_meant_is_told():
    with pytest.raises(UsageError, match="give --from and --to"):
        open_pipe("redis://x", "", "out", "m")
    with pytest.raises(UsageError, match="cannot take messages"):
        open_pipe("ftp://x", "in", "out", "m")


@pytest.mark.faults
def test_killed_again_and_again_each_message_is_answered_once(tmp_path):
    import redis

    model = scaler(tmp_path / "s.onnx")
    with places.redis_server(tmp_path) as (url, _):
        client = redis.Redis.from_url(url)
        words = ["--on", url, "--from", "in", "--to", "out", "--home", str(tmp_path)]
        command = [sys.executable, "-m", "servable", "stream", str(model), *words]
        for turn in range(5):
            with client.pipeline() as pipe:
                for number in range(4000 * turn, 4000 * (turn + 1)):
                    pipe.xadd("in", {"body": row(number)})
                pipe.execute()
            stream = subprocess.Popen(command)
            while client.xlen("out") < 3000 * (turn + 1):
                assert stream.poll() is None
            os.kill(stream.pid, signal.SIGKILL)
            stream.wait()
        stream = subprocess.Popen(command)
        while client.xlen("out") < 20_000:
            assert stream.poll() is None
        stream.send_signal(signal.SIGTERM)
        assert stream.wait() == 0
        answers = [json.loads(fields[b"body"])["row"]["y"][0] for _, fields in client.xrange("out")]
        client.close()
    assert sorted(answers) == [2.0 * number for number in range(20_000)]


@pytest.mark.faults
def test_killed_again_and_again_on_nats_each_message_is_answered_once(tmp_path):
    import nats

    async def connected(url, work):
        connection = await nats.connect(url)
        try:
            return await work(connection.jetstream())
        finally:
            await connection.close()

    async def begin(stream):
        await stream.add_stream(name="s", subjects=["in", "out"])
        await stream.add_consumer("s", durable_name="servable-s", ack_wait=2, filter_subject="in", max_ack_pending=1024)

    async def fill(stream, numbers):
        for number in numbers:
            await stream.publish("in", row(number))

    async def answered(stream):
        info = await stream.stream_info("s", subjects_filter="out")
        return (info.state.subjects or {}).get("out", 0)

    async def collected(stream):
        reader = await stream.pull_subscribe("out", "reader")
        found = []
        while len(found) < 9000:
            for one in await reader.fetch(1000, timeout=30):
                found.append(json.loads(one.data)["row"]["y"][0])
                await one.ack()
        return found

    model = scaler(tmp_path / "s.onnx")
    with nats_server(tmp_path) as (url, _):
        asyncio.run(connected(url, begin))
        words = ["--on", url, "--from", "in", "--to", "out", "--home", str(tmp_path)]
        command = [sys.executable, "-m", "servable", "stream", str(model), *words]
        for turn in range(3):
            asyncio.run(connected(url, lambda stream, turn=turn: fill(stream, range(3000 * turn, 3000 * (turn + 1)))))
            stream = subprocess.Popen(command)
            while asyncio.run(connected(url, answered)) < 2000 * (turn + 1):
                assert stream.poll() is None
            os.kill(stream.pid, signal.SIGKILL)
            stream.wait()
        stream = subprocess.Popen(command)
        while asyncio.run(connected(url, answered)) < 9000:
            assert stream.poll() is None
        stream.send_signal(signal.SIGTERM)
        assert stream.wait() == 0
        assert asyncio.run(connected(url, answered)) == 9000
        found = asyncio.run(connected(url, collected))
    assert sorted(found) == [2.0 * number for number in range(9000)]
