"""Every sink, to a real server of its kind."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import pytest

from servable.errors import UsageError
from servable.offline.push.message import Fails, Message, NoAnswer, Refused
from servable.offline.push.open import open_sink
from servable.offline.push.webhook import key_of, new_secret, signature
from tests.offline.push.consumers import webhook
from tests.servers import kafka_server, nats_server
from tests.stores.tables import places

MESSAGES = [Message(f"t/1/{number}", f"k{number % 3}", b'{"n":%d}' % number) for number in range(7)]


def test_a_webhook_gets_signed_posts():
    secret = new_secret()
    with webhook() as hook:
        sink = open_sink(hook.url, "t", secret)
        sink.send(MESSAGES)
        sink.send(MESSAGES[:1])
        sink.close()
    assert [message["n"] for message in hook.messages] == [*range(7), 0]
    headers, body = hook.seen[0]
    assert headers["webhook-id"] == "t/1/0+7"
    assert headers["webhook-signature"] == signature(
        key_of(secret), headers["webhook-id"], headers["webhook-timestamp"], body
    )
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


def test_what_a_webhook_answers_is_understood():
    with webhook() as hook:
        sink = open_sink(hook.url, "t", new_secret())
        for status, error in ((400, Refused), (302, NoAnswer), (429, NoAnswer), (503, NoAnswer), (500, Fails)):
            hook.status = [status]
            with pytest.raises(error, match=str(status)) as told:
                sink.send(MESSAGES)
            assert told.type is error
        hook.status = [200]
        sink.send(MESSAGES)
        sink.close()
    gone = open_sink(hook.url, "t", new_secret())
    with pytest.raises(NoAnswer, match="does not answer"):
        gone.send(MESSAGES)


def test_a_consumer_that_never_answers_is_given_up():
    from servable.offline.push.webhook import Webhook

    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", new_secret(), timeout_s=0.2)
        with pytest.raises(NoAnswer, match="timed out"):
            sink.send(MESSAGES)
        sink.close()


def test_files_in_a_folder(tmp_path):
    sink = open_sink(str(tmp_path / "out"), "t")
    sink.send(MESSAGES[:5])
    sink.send(MESSAGES[5:])
    sink.send(MESSAGES[5:])
    files = sorted((tmp_path / "out").iterdir())
    assert [json.loads(line)["n"] for file in files for line in file.read_text().splitlines()] == list(range(7))
    (tmp_path / "file").touch()
    with pytest.raises(NoAnswer, match="cannot write"):
        open_sink(str(tmp_path / "file"), "t").send(MESSAGES)


def test_a_redis_stream(tmp_path):
    import redis

    with places.redis_server(tmp_path) as (url, server):
        sink = open_sink(f"{url}#answers", "t")
        sink.send(MESSAGES)
        client = redis.Redis.from_url(url)
        entries = client.xrange("answers")
        client.close()
        assert [entry[b"body"] for _, entry in entries] == [message.body for message in MESSAGES]
        server.kill()
        server.wait()
        with pytest.raises(NoAnswer, match="Redis does not take it"):
            sink.send(MESSAGES)
        sink.close()


async def _collected(url, subject):
    import nats

    connection = await nats.connect(url)
    subscription = await connection.jetstream().subscribe(subject)
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            found.append(await subscription.next_msg(0.3))
    await connection.close()
    return found


async def _add_stream(url):
    import nats

    connection = await nats.connect(url)
    await connection.jetstream().add_stream(name="answers", subjects=["servable.*"])
    await connection.close()


def test_a_nats_stream_keeps_each_message_once(tmp_path, monkeypatch):
    import asyncio

    monkeypatch.setattr("servable.offline.push.nats.TIMEOUT_S", 1.0)
    with nats_server(tmp_path) as server:
        sink = open_sink(server.url, "t")
        with pytest.raises(NoAnswer, match=r"no stream of the server collects 'servable\.t'"):
            sink.send(MESSAGES)
        asyncio.run(_add_stream(server.url))
        sink.send(MESSAGES)
        sink.send(MESSAGES[3:])
        found = asyncio.run(_collected(server.url, "servable.t"))
        assert [message.data for message in found] == [message.body for message in MESSAGES]
        with pytest.raises(Refused, match="larger than the server takes"):
            sink.send([Message("t/1/9", "k", b"x" * (2 << 20))])
        sink.send([Message("t/1/8", "k", b"{}")])
        server.kill()
        with pytest.raises(NoAnswer):
            sink.send(MESSAGES)  # a connection that is lost
        with pytest.raises(NoAnswer):
            sink.send(MESSAGES)  # and one that cannot be made
        sink.close()


def test_a_kafka_topic(tmp_path):
    from confluent_kafka import Consumer

    with kafka_server(tmp_path) as server:
        sink = open_sink(f"kafka://{server.url}?client.id=ours#answers", "t")
        sink.send(MESSAGES)
        with pytest.raises(Refused, match="Kafka refuses it"):
            sink.send([Message("t/1/9", "k0", b"x" * (2 << 20))])
        sink.close()
        consumer = Consumer({"bootstrap.servers": server.url, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe(["answers"])
        found = []
        while len(found) < len(MESSAGES) and (message := consumer.poll(15.0)) is not None:
            found.append((message.key().decode(), message.value()))
        consumer.close()
    for key in ("k0", "k1", "k2"):
        assert [body for name, body in found if name == key] == [one.body for one in MESSAGES if one.key == key]


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("ftp://x/y", "", "cannot push to ftp"),
        ("https://x/y", "", "a webhook is signed"),
        ("https://x/y", "whsec_c2hvcnQ=", "at least 24 bytes"),
        ("https://x/y", "whsec_???", "expected whsec_ and base64"),
        ("kafka://x:9092?secure=yes#a", "", 'No such configuration property: "secure"'),
        ("kafka://x:9092?security.protocol=yes", "", "security.protocol"),
        ("http:///y", "whsec_" + "QUJD" * 8, "is no webhook"),
    ],
)
def test_what_cannot_be_meant_is_told(url, secret, said):
    with pytest.raises(UsageError, match=said):
        open_sink(url, "t", secret)
