"""Tables in Redis or Valkey: a hash a generation, a pointer to the live one. A look-up is one script, so one moment.

A writer holds a lease that it renews with each block. What it leaves when it dies is listed, and removed by the next.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final, Self

import msgspec

from servable.errors import Conflict, EnvironmentFault, MissingExtra, Unavailable
from servable.stores.tables.generation import Generation, demand_name, lacking, unknown
from servable.stores.tables.port import Found, Keep

LEASE_MS: Final = 60_000
AT_ONCE: Final = 1000
"""Rows of one command."""
COMMANDS: Final = 16
"""Commands that travel together."""
NAMES: Final = "servable:tables"

READ: Final = """
local number = ARGV[1]
if number == '' then number = redis.call('GET', KEYS[1] .. ':live') end
if not number then return false end
local answers = {}
for from = 2, #ARGV, 4000 do
  local part = redis.call('HMGET', KEYS[1] .. ':rows:' .. number, unpack(ARGV, from, math.min(from + 3999, #ARGV)))
  for at = 1, #part do answers[#answers + 1] = part[at] end
end
return {number, redis.call('HGET', KEYS[1] .. ':generations', number), answers}
"""
SWITCH: Final = """
local stated = redis.call('HGET', KEYS[1] .. ':generations', ARGV[1])
if stated then redis.call('SET', KEYS[1] .. ':live', ARGV[1]) end
return stated
"""

_decode = msgspec.json.Decoder(Generation).decode


class RedisTables:
    """The tables of one Redis database."""

    blocking = True

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise MissingExtra("redis", "keep tables in Redis", missing="redis") from error
        self._redis: Any = redis.Redis.from_url(
            url, health_check_interval=30, socket_timeout=30, socket_connect_timeout=5
        )
        self._errors = redis.exceptions
        self._read = self._redis.register_script(READ)
        self._switch = self._redis.register_script(SWITCH)

    def names(self) -> list[str]:
        with self.told():
            found = sorted(name.decode() for name in self._redis.smembers(NAMES))
            return [name for name in found if self._redis.exists(f"{base(name)}:live")]

    def generations(self, table: str) -> list[Generation]:
        with self.told():
            found = self._redis.hvals(f"{base(table)}:generations")
        return sorted(map(_decode, found), key=lambda generation: generation.number)

    def live(self, table: str) -> Generation:
        return self.read(table, ()).generation

    def read(self, table: str, keys: Sequence[bytes], number: int | None = None) -> Found:
        with self.told():
            found = self._read(keys=[base(table)], args=["" if number is None else number, *keys])
        if found is None:
            raise unknown(table, self.names())
        if found[1] is None:
            if number is None:
                raise unknown(table, self.names())
            raise lacking(table, number, self.generations(table))
        return Found(_decode(found[1]), found[2])

    def scan(self, table: str, number: int) -> Iterator[list[tuple[bytes, bytes]]]:
        self.read(table, (), number)
        cursor = 0
        while True:
            with self.told():
                cursor, rows = self._redis.hscan(f"{base(table)}:rows:{number}", cursor, count=AT_ONCE)
            if rows:
                yield list(rows.items())
            if cursor == 0:
                return

    def begin(self, stated: Generation) -> RedisWriter:
        return RedisWriter(self, self._redis, stated)

    def switch(self, table: str, number: int) -> Generation:
        with self.told():
            self._redis.sadd(NAMES, table)
            stated = self._switch(keys=[base(table)], args=[number])
        if stated is None:
            raise lacking(table, number, self.generations(table))
        return _decode(stated)

    def remember(self, generation: Generation, keys: Sequence[bytes], answers: Sequence[bytes]) -> None:
        with self.told(), self._redis.pipeline(transaction=False) as pipe:
            for key, answer in zip(keys, answers, strict=True):
                pipe.hsetnx(f"{base(generation.table)}:rows:{generation.number}", key, answer)
            pipe.execute()

    def drop(self, table: str, number: int | None = None) -> None:
        generations = self.generations(table)
        if not generations:
            raise unknown(table, self.names())
        numbers = [generation.number for generation in generations]
        if number is not None:
            if number not in numbers:
                raise lacking(table, number, generations)
            if self.live(table).number == number:
                raise Conflict(f"generation {number} of table {table!r} is live: switch or roll back first")
            numbers = [number]
        with self.told(), self._redis.pipeline(transaction=True) as pipe:
            if number is None:
                pipe.delete(f"{base(table)}:live")
                pipe.srem(NAMES, table)
            pipe.hdel(f"{base(table)}:generations", *map(str, numbers))
            for one in numbers:
                pipe.unlink(f"{base(table)}:rows:{one}")
            pipe.execute()

    def close(self) -> None:
        self._redis.close()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What Redis and the network say, as errors of ours."""
        try:
            yield
        except (self._errors.ConnectionError, self._errors.TimeoutError) as error:
            raise Unavailable(f"cannot reach the tables in Redis: {error}", retry_after_s=5.0) from error
        except self._errors.RedisError as error:
            raise EnvironmentFault(f"Redis refuses: {error}") from error


class RedisWriter:
    """A `Writer` into the hash of its generation."""

    def __init__(self, tables: RedisTables, redis: Any, stated: Generation) -> None:
        self._tables = tables
        self._redis = redis
        self._base = base(stated.table)
        self._token = secrets.token_hex(8)
        self._open = True
        with tables.told():
            if not redis.set(f"{self._base}:writer", self._token, nx=True, px=LEASE_MS):
                raise Conflict(f"table {stated.table!r} is being written by another process: wait until it has ended")
            for left in redis.smembers(f"{self._base}:unfinished"):
                redis.unlink(f"{self._base}:rows:{int(left)}")
                redis.srem(f"{self._base}:unfinished", left)
            number = redis.incr(f"{self._base}:next")
            redis.sadd(f"{self._base}:unfinished", number)
        self.generation = msgspec.structs.replace(stated, number=number)
        self._rows = f"{self._base}:rows:{number}"

    def write(self, keys: Sequence[bytes], answers: Sequence[bytes], keep: Keep = "last") -> int:
        new = 0
        pairs = list(zip(keys, answers, strict=True))
        with self._tables.told():
            self._renew()
            for start in range(0, len(pairs), AT_ONCE * COMMANDS):
                with self._redis.pipeline(transaction=False) as pipe:
                    for first in range(start, min(start + AT_ONCE * COMMANDS, len(pairs)), AT_ONCE):
                        rows = pairs[first : first + AT_ONCE]
                        if keep == "last":
                            pipe.execute_command("HSET", self._rows, *chain.from_iterable(rows))
                        else:
                            for key, answer in rows:
                                pipe.hsetnx(self._rows, key, answer)
                    new += sum(map(int, pipe.execute()))
        return new

    def finish(self) -> Generation:
        with self._tables.told():
            self._renew()
            self.generation = msgspec.structs.replace(self.generation, rows=self._redis.hlen(self._rows))
            number = self.generation.number
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(f"{self._base}:generations", str(number), msgspec.json.encode(self.generation))
                pipe.srem(f"{self._base}:unfinished", number)
                pipe.delete(f"{self._base}:writer")
                pipe.execute()
        self._open = False
        return self.generation

    def _renew(self) -> None:
        """Hold the table for another while. Raises Conflict where we were away for so long that we lost it."""
        if self._redis.get(f"{self._base}:writer") != self._token.encode():
            raise Conflict(f"table {self.generation.table!r} was taken over by another writer: run the job again")
        self._redis.pexpire(f"{self._base}:writer", LEASE_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(Unavailable, EnvironmentFault), self._tables.told():
            if self._redis.get(f"{self._base}:writer") == self._token.encode():
                self._redis.unlink(self._rows)
                self._redis.srem(f"{self._base}:unfinished", self.generation.number)
                self._redis.delete(f"{self._base}:writer")


def base(table: str) -> str:
    """What all keys of a table begin with; the braces keep them on one node of a cluster."""
    return f"servable:{{{demand_name(table)}}}"
