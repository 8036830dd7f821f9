"""States in Redis or Valkey: a stream for each learner, which a whole state empties of what came before it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from servable.errors import Conflict, EnvironmentFault, MissingExtra
from servable.online.fleet.states.port import BEGIN, Listen, Told

PUT: Final = """
if tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[1]) then return 'lost' end
if ARGV[2] == '0' then
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if not last or last[1] ~= ARGV[3] then return '' end
end
redis.call('SET', KEYS[2], ARGV[1])
local place = redis.call('XADD', KEYS[1], '*', 'told', ARGV[4])
if ARGV[2] == '1' then redis.call('XTRIM', KEYS[1], 'MINID', place) end
redis.call('PUBLISH', KEYS[1], place)
return place
"""
"""Keys: the stream, the highest epoch that wrote to it. All of it is one moment."""
TIMEOUT_S: Final = 10.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Told).decode


class RedisStates:
    """A `Log`."""

    def __init__(self, url: str, learner: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise MissingExtra("redis", "hand states over through Redis", missing="redis") from error
        self._redis: Any = redis.Redis.from_url(
            url, health_check_interval=30, socket_timeout=TIMEOUT_S, socket_connect_timeout=5
        )
        self._error = redis.exceptions.RedisError
        self._put = self._redis.register_script(PUT)
        self._learner = learner
        self._key = f"servable:states:{{{learner}}}"
        self.listen: Listen | None = self._heard

    def put(self, epoch: int, told: Told, after: str) -> str | None:
        words: list[int | str | bytes] = [epoch, int(told.whole), after, _encode(told)]
        with self._wall():
            place = self._put(keys=[self._key, f"{self._key}:epoch"], args=words).decode()
        if place == "lost":
            raise Conflict(f"another machine learns for {self._learner} by now")
        return place or None

    def since(self, place: str) -> list[tuple[str, Told]]:
        with self._wall():
            found = self._redis.xrange(self._key, f"({place}" if place != BEGIN else "-")
        return [(own.decode(), _decode(fields[b"told"])) for own, fields in found]

    def _heard(self, over: Callable[[], bool], pause_s: float) -> Iterator[bool]:
        with self._wall(), self._redis.pubsub(ignore_subscribe_messages=True) as heard:
            heard.subscribe(self._key)
            while not over():
                yield heard.get_message(timeout=pause_s) is not None

    def close(self) -> None:
        with contextlib.suppress(self._error):
            self._redis.close()

    @contextlib.contextmanager
    def _wall(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            told = " ".join(str(error).split())
            raise EnvironmentFault(f"states of {self._learner} do not go through Redis: {told}") from error
