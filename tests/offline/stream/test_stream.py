"""A model as a step in streams: standard input, and real brokers; killed in the middle, and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading

import msgspec
import pytest

from servable.bundles.manifest import dumps
from servable.bundles.open import open_bundle
from servable.domain.bundle import MANIFEST
from servable.engine.loading import load
from servable.engine.plan import Target
from servable.errors import ModelFailed, Unavailable, UsageError
from servable.offline.stream.flow import Flow
from servable.offline.stream.kafka import KafkaPipe
from servable.offline.stream.nats import NatsPipe
from servable.offline.stream.open import open_pipe
from servable.offline.stream.pipe import Received
from servable.offline.stream.redis import RedisPipe
from servable.offline.worker import loaded
from tests.custom import CHOOSY, custom
from tests.offline.push.test_sinks import _collected
from tests.packed import bundle_at, scaler
from tests.servers import kafka_server, nats_server
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


def test_a_message_that_the_model_fails_on_spoils_no_other(tmp_path):
    with loaded(Target("choosy", "1", str(custom(tmp_path / "choosy", CHOOSY))), tmp_path / "environments") as parts:
        flow = Flow(Target("choosy", "1", ""), *parts)
        bodies = [b'{"x": %d}' % (-1 if at in {2, 30} else at * at) for at in range(40)]
        answers, errors = flow.answer([Received(str(at), body) for at, body in enumerate(bodies)])
        told = [json.loads(answer) for answer in answers]
        assert errors == 2
        assert "no roots of what is below nothing" in told[30]["error"]
        assert [one["row"]["y"] for one in told if "row" in one] == [at for at in range(40) if at not in {2, 30}]
        with pytest.raises(ModelFailed, match="died of a call with 1 rows"):
            flow.answer([Received("1", b'{"x": 666}')])


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


def test_of_two_that_took_one_entry_the_first_answers(flow, tmp_path):
    """The slow one was taken over from, and comes back; and an entry that was cut off the stream is answered, too."""
    import redis

    with places.redis_server(tmp_path) as (url, _):
        client = redis.Redis.from_url(url)
        names = [client.xadd("in", {"body": row(number)}) for number in range(3)]
        slow, quick = (RedisPipe(url, "in", "out", "g", name) for name in ("slow", "quick"))
        taken = slow.take(10)
        client.xclaim("in", "g", "quick", 0, names)
        client.xdel("in", names[2])
        again = quick.take(10)
        assert [one.id for one in again] == [one.id for one in taken]
        quick.answer(again, flow.answer(again)[0])
        slow.answer(taken, flow.answer(taken)[0])
        told = [json.loads(fields[b"body"]) for _, fields in client.xrange("out")]
        assert [one["id"] for one in told] == [name.decode() for name in names]
        assert [one.get("row") for one in told[:2]] == [{"y": [0.0, 2.0]}, {"y": [2.0, 2.0]}]
        assert "not a JSON object" in told[2]["error"]
        assert client.xpending("in", "g")["pending"] == 0
        for pipe in (slow, quick, client):
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

    with nats_server(tmp_path / "nats") as server:
        url = server.url
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


def committed(servers, topic, count):
    """So many messages that a reader of committed ones finds."""
    from confluent_kafka import Consumer, TopicPartition

    reader = Consumer({"bootstrap.servers": servers, "group.id": "r", "isolation.level": "read_committed"})
    reader.assign([TopicPartition(topic, 0, 0)])
    found = []
    while len(found) < count and (message := reader.poll(15.0)) is not None:
        found.append(message.value())
    reader.close()
    return found


def feed(servers, topic, bodies):
    from confluent_kafka import Producer

    feeder = Producer({"bootstrap.servers": servers})
    for body in bodies:
        feeder.produce(topic, body, key=b"k")
        feeder.poll(0)
    assert feeder.flush(10) == 0


def answered(bodies):
    return [json.loads(body)["row"]["y"][0] for body in bodies]


def test_a_kafka_topic_is_answered_once_whoever_dies(flow, tmp_path):
    from confluent_kafka import KafkaException

    with kafka_server(tmp_path / "kafka") as server:
        feed(server.url, "in", [row(number) for number in range(40)])
        dead = KafkaPipe(f"kafka://{server.url}", "in", "out", "g", "me")
        taken = taken_from(dead, 40)
        answers, _ = flow.answer(taken)
        dead._producer.begin_transaction()
        for answer in answers[:30]:
            dead._producer.produce("out", answer)
        assert dead._producer.flush(10) == 0  # the answers are with the broker, and then it died
        dead._consumer.close()
        feed(server.url, "out", [b"other"])  # of somebody else, behind the transaction that nobody ends
        pipe = KafkaPipe(f"kafka://{server.url}", "in", "out", "g", "me")
        assert taken_from(pipe, 40) != []
        assert committed(server.url, "out", 1) == [b"other"]
        pipe.answer(taken, answers)
        assert pipe.take(10) == []
        assert answered(committed(server.url, "out", 41)[1:]) == [2.0 * number for number in range(40)]
        with pytest.raises(KafkaException, match="fenced"):
            dead._producer.commit_transaction(10)
        pipe.close()


def taken_from(pipe, count):
    taken: list[Received] = []
    while len(taken) < count:
        taken += pipe.take(count)
    return taken


def test_two_jobs_of_a_machine_do_not_fence_each_other(flow, tmp_path):
    with kafka_server(tmp_path / "kafka") as server:
        feed(server.url, "in", [row(number) for number in range(5)])
        pipes = {to: open_pipe(f"kafka://{server.url}", "in", to, "m") for to in ("a", "b")}
        taken = {to: taken_from(pipe, 5) for to, pipe in pipes.items()}
        for to, pipe in pipes.items():
            pipe.answer(taken[to], flow.answer(taken[to])[0])
            pipe.close()
        for to in pipes:
            assert answered(committed(server.url, to, 5)) == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_answers_that_kafka_does_not_take_leave_no_transaction_open(flow, tmp_path):
    with kafka_server(tmp_path / "kafka") as server:
        feed(server.url, "in", [row(1)])
        pipe = KafkaPipe(f"kafka://{server.url}", "in", "out", "g", "me")
        taken = taken_from(pipe, 1)
        with pytest.raises(Unavailable, match="Kafka does not take the answers"):
            pipe.answer([*taken, *taken], [b"x", b"x" * (2 << 20)])
        feed(server.url, "out", [b"other"])
        assert committed(server.url, "out", 1) == [b"other"]
        pipe.close()


def test_what_nats_does_not_collect_is_told(flow, tmp_path):
    import nats

    async def collect(url, subjects):
        connection = await nats.connect(url)
        await connection.jetstream().add_stream(name="s", subjects=subjects)
        await connection.jetstream().publish(subjects[0], row(1))
        await connection.close()

    with nats_server(tmp_path / "nats") as server:
        pipe = open_pipe(server.url, "bank.in", "bank.out", "m.2")
        with pytest.raises(Unavailable, match=r"no stream of the server collects the subject 'bank\.in'"):
            pipe.take(1)
        asyncio.run(collect(server.url, ["bank.in"]))
        taken = taken_from(pipe, 1)
        with pytest.raises(Unavailable, match=r"no stream of the server collects the subject 'bank\.out'"):
            pipe.answer(taken, flow.answer(taken)[0])
        pipe.close()


def test_a_column_that_no_message_has_is_told(tmp_path):
    """The model may do without it: perhaps it is spelled otherwise."""
    bundle = bundle_at(tmp_path / "bundle")
    manifest = open_bundle(bundle).manifest
    field = msgspec.structs.replace(manifest.signature.inputs[0], features=("age", "months"), values="missing")
    signature = msgspec.structs.replace(manifest.signature, inputs=(field,))
    (bundle / MANIFEST).write_bytes(dumps(msgspec.structs.replace(manifest, signature=signature)))
    command = [sys.executable, "-m", "servable", "stream", str(bundle), "--home", str(tmp_path)]
    lines = b'{"age": 1, "month": 2}\n{"age": 3}\n'
    done = subprocess.run(command, input=lines, capture_output=True, check=True)
    assert done.stderr.count(b"no message had 'months', which the model may do without") == 1
    assert b"'age'" not in done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_what_cannot_be_meant_is_told():
    with pytest.raises(UsageError, match="would come back as messages"):
        open_pipe("redis://x", "in", "in", "m")
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
def test_killed_again_and_again_on_kafka_each_message_is_answered_once(tmp_path):
    model = scaler(tmp_path / "s.onnx")
    with kafka_server(tmp_path / "kafka") as server:
        words = ["--on", f"kafka://{server.url}", "--from", "in", "--to", "out", "--home", str(tmp_path)]
        command = [sys.executable, "-m", "servable", "stream", str(model), *words]
        for turn in range(3):
            feed(server.url, "in", [row(number) for number in range(3000 * turn, 3000 * (turn + 1))])
            stream = subprocess.Popen(command)
            committed(server.url, "out", 3000 * turn + 1000)
            os.kill(stream.pid, signal.SIGKILL)
            stream.wait()
        stream = subprocess.Popen(command)
        found = committed(server.url, "out", 9000)
        stream.send_signal(signal.SIGTERM)
        assert stream.wait() == 0
        assert len(committed(server.url, "out", 9001)) == 9000
    assert sorted(answered(found)) == [2.0 * number for number in range(9000)]


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
        await stream.add_consumer(
            "s", durable_name="servable-s-in-out", ack_wait=2, filter_subject="in", max_ack_pending=1024
        )

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
    with nats_server(tmp_path / "nats") as server:
        url = server.url
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
