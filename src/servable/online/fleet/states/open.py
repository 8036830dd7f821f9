"""Which log states go through: by the URL of the setting `learning_states`."""

from __future__ import annotations

from urllib.parse import urlsplit

from servable.errors import UsageError
from servable.online.fleet.states.nats import NatsStates
from servable.online.fleet.states.port import Log
from servable.online.fleet.states.postgresql import PostgresqlStates
from servable.online.fleet.states.redis import RedisStates
from servable.stores.databases.port import Database


def open_states(url: str, database: Database, learner: str) -> Log:
    """That of a learner; without a URL it is in the database that holds the rest. Raises UsageError, MissingExtra."""
    if not url:
        return PostgresqlStates(database, learner)
    kind = urlsplit(url).scheme
    if kind in {"redis", "rediss", "unix"}:
        return RedisStates(url, learner)
    if kind in {"nats", "tls"}:
        return NatsStates(url, learner)
    raise UsageError(f"learning_states: expected redis://… or nats://…, or nothing (PostgreSQL), got {kind or url!r}")
