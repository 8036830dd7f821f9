"""Finds the pipe of a broker's URL."""

from __future__ import annotations

import re
import socket

from servable.errors import UsageError
from servable.offline.stream.pipe import Pipe


def open_pipe(url: str, source: str, target: str, model: str) -> Pipe:
    """The pipe from `source` to `target`; nothing is reached before something is taken. Raises UsageError,
    MissingExtra.
    """
    if not source or not target:
        raise UsageError("give --from and --to: the streams, subjects or topics of messages and answers")
    if source == target:
        raise UsageError(f"--from and --to are both {source!r}: the answers would come back as messages")
    scheme, _, _ = url.partition("://")
    # Who takes a name takes over what was begun under it: so it says what is done, and the consumer's on which machine.
    group = f"servable-{model}-{source}-{target}"
    consumer = f"{group}-{socket.gethostname()}"
    if scheme in {"redis", "rediss", "valkey", "unix"}:
        from servable.offline.stream.redis import RedisPipe

        return RedisPipe(url.replace("valkey://", "redis://", 1), source, target, group, consumer)
    if scheme in {"nats", "tls"}:
        from servable.offline.stream.nats import NatsPipe

        # A durable consumer's name may not hold all that a subject may.
        return NatsPipe(url, source, target, re.sub(r"[^A-Za-z0-9_-]", "_", group))
    if scheme == "kafka":
        from servable.offline.stream.kafka import KafkaPipe

        return KafkaPipe(url, source, target, group, consumer)
    raise UsageError(f"cannot take messages from {url!r}: expected redis://, nats:// or kafka://")
