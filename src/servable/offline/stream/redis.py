"""Redis streams: a consumer group takes entries; an acknowledgement and its answer are one act of the server, so that
each entry is answered once, whoever dies, and whoever else took it meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from servable.errors import MissingExtra, Unavailable
from servable.offline.stream.pipe import Received

WAIT_MS: Final = 200
DEAD_MS: Final = 60_000
"""An entry that somebody took and has not answered for so long is taken over."""
ANSWER: Final = """
for at = 2, #ARGV, 2 do
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[at]) == 1 then
    redis.call('XADD', KEYS[2], '*', 'id', ARGV[at], 'body', ARGV[at + 1])
  end
end
"""
"""Runs in the server, all of it or nothing: who was slow, and was taken over from, adds no second answer."""


class RedisPipe:
    """A `Pipe` from one stream to another of the same server. `consumer` is ours alone."""

    def __init__(self, url: str, source: str, target: str, group: str, consumer: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise MissingExtra("redis", "take messages from Redis", missing="redis") from error
        self._errors = redis.exceptions
        self._redis: Any = redis.Redis.from_url(url, socket_connect_timeout=5)
        self._source, self._target, self._group, self._consumer = source, target, group, consumer
        self._add: Any = self._redis.register_script(ANSWER)
        self._fresh = False
        self._ready = False

    def take(self, most: int) -> list[Received] | None:
        try:
            self._prepare()
            if not self._fresh:
                entries = self._ours(most)
                if entries:
                    return entries
                self._fresh = True
            found = self._redis.xreadgroup(self._group, self._consumer, {self._source: ">"}, most, WAIT_MS)
            if not found:
                return self._others(most)
            return _received(found[0][1] if isinstance(found, list) else next(iter(found.values()))[0])
        except self._errors.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def _prepare(self) -> None:
        if self._ready:
            return
        try:
            self._redis.xgroup_create(self._source, self._group, "0", mkstream=True)
        except self._errors.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._ready = True

    def _ours(self, most: int) -> list[Received]:
        """What this consumer had taken before it died."""
        found = self._redis.xreadgroup(self._group, self._consumer, {self._source: "0"}, most)
        return _received(found[0][1]) if found else []

    def _others(self, most: int) -> list[Received]:
        """What another consumer had taken, and has not answered for long."""
        return _received(self._redis.xautoclaim(self._source, self._group, self._consumer, DEAD_MS, count=most)[1])

    def answer(self, received: Sequence[Received], answers: Sequence[bytes]) -> None:
        try:
            pairs = zip((message.id for message in received), answers, strict=True)
            self._add([self._source, self._target], [self._group, *(one for pair in pairs for one in pair)])
        except self._errors.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def close(self) -> None:
        self._redis.close()


def _received(entries: Any) -> list[Received]:
    """An entry's body is its field `body`, or, without one, all its fields are the row. One that was taken and then
    removed from the stream has none left: it is answered as an empty message is.
    """
    import orjson

    found = []
    for name, fields in entries:
        body = fields.get(b"body") if fields else b""
        if body is None:
            body = orjson.dumps({key.decode(): value.decode(errors="replace") for key, value in fields.items()})
        found.append(Received(name.decode(), body))
    return found
