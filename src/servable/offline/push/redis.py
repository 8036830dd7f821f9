"""Redis streams: an entry a message, with its id, key and body. Consumers read them with groups, as they like."""

from __future__ import annotations

from collections.abc import Sequence

from servable.errors import MissingExtra
from servable.offline.push.message import Message, NoAnswer


class RedisStream:
    """A `Sink`. `url` names the server, `stream` the key."""

    def __init__(self, url: str, stream: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise MissingExtra("redis", "push to Redis", missing="redis") from error
        self._stream = stream
        self._error = redis.exceptions.RedisError
        self._redis = redis.Redis.from_url(url, socket_timeout=30, socket_connect_timeout=5)

    def send(self, messages: Sequence[Message]) -> None:
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                for message in messages:
                    pipe.xadd(self._stream, {"id": message.id, "key": message.key, "body": message.body})
                pipe.execute()
        except self._error as error:
            raise NoAnswer(f"Redis does not take it: {error}") from error

    def close(self) -> None:
        self._redis.close()
