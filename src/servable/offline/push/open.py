"""Finds the sink that a URL names. What follows a `#` is the stream, subject or topic; of itself `servable.TABLE`."""

from __future__ import annotations

from pathlib import Path

from servable.errors import UsageError
from servable.offline.push.message import Sink


def open_sink(url: str, table: str, secret: str = "") -> Sink:
    """The sink; nothing is reached before something is sent. Raises UsageError, MissingExtra."""
    address, _, named = url.partition("#")
    name = named or f"servable.{table}"
    scheme, separator, rest = address.partition("://")
    if not separator or scheme == "file":
        from servable.offline.push.folder import FilesIn

        return FilesIn(Path(rest if separator else address).expanduser())
    if scheme in {"http", "https"}:
        from servable.offline.push.webhook import Webhook

        if not secret:
            raise UsageError("a webhook is signed: give its secret in SERVABLE_WEBHOOK_SECRET (see `table secret`)")
        return Webhook(url, secret)
    if scheme in {"redis", "rediss", "valkey", "unix"}:
        from servable.offline.push.redis import RedisStream

        return RedisStream(address.replace("valkey://", "redis://", 1), name)
    if scheme in {"nats", "tls"}:
        from servable.offline.push.nats import NatsStream

        return NatsStream(address, name)
    if scheme == "kafka":
        from servable.offline.push.kafka import KafkaTopic

        return KafkaTopic(address, name)
    raise UsageError(f"cannot push to {scheme}://: expected https, redis, nats, kafka, or a folder")
