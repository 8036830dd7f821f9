"""The URL of a Kafka cluster: `kafka://USER:PASSWORD@HOST:9092,HOST:9092?PROPERTY=VALUE`. Properties are those of
librdkafka, the client's library: how to encrypt, and how to say who one is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from servable.errors import UsageError

T = TypeVar("T")


def settings_of(url: str) -> dict[str, Any]:
    """What the library is to be told.

    >>> settings_of("kafka://ada:s3%40@a:9092,b:9092/?security.protocol=sasl_ssl")  # doctest: +NORMALIZE_WHITESPACE
    {'log_level': 0, 'bootstrap.servers': 'a:9092,b:9092', 'sasl.username': 'ada', 'sasl.password': 's3@',
     'sasl.mechanisms': 'PLAIN', 'security.protocol': 'sasl_ssl'}
    """
    place, _, query = url.partition("://")[2].partition("?")
    who, _, servers = place.rpartition("@")
    user, _, password = who.partition(":")
    names = {"sasl.username": unquote(user), "sasl.password": unquote(password), "sasl.mechanisms": "PLAIN"}
    return {
        "log_level": 0,
        "bootstrap.servers": servers.rstrip("/"),
        **(names if who else {}),
        **dict(parse_qsl(query)),
    }


def made(kind: Callable[[Any], T], settings: Mapping[str, Any], fault: type[Exception]) -> T:
    """A consumer or producer of these settings. Raises UsageError for what the library does not know; `fault` is its
    KafkaException.
    """
    try:
        return kind(settings)
    except fault as error:
        raise UsageError(f"kafka://: {said(error)}") from error


def said(error: Exception) -> str:
    """An error of the library in its words, without its numbers."""
    told = error.args[0] if error.args else error
    return str(told.str() if hasattr(told, "str") else told)
