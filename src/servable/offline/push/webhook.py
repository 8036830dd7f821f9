"""Webhooks: a signed POST for some messages together.

Signed as the Standard Webhooks specification says (standard-webhooks.com, "Webhook signatures"): `webhook-id`,
`webhook-timestamp` and `webhook-signature: v1,` with the base64 of HMAC-SHA256 over `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import secrets
import ssl
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from servable.errors import UsageError
from servable.offline.push.message import Fails, Message, NoAnswer, Refused

PREFIX: Final = "whsec_"
TIMEOUT_S: Final = 30.0
AGAIN: Final = frozenset({408, 409, 425, 429})
"""Answers of the 400s that do not speak of the message."""
AWAY: Final = frozenset({502, 503, 504})
"""Those of the 500s that speak of a consumer that is not there."""


class Webhook:
    """A `Sink`. Redirects are not followed: an answer other than 2xx is no delivery."""

    def __init__(self, url: str, secret: str, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{url!r} is no webhook: expected https://HOST/PATH")
        self._key = key_of(secret)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout_s, context=ssl.create_default_context()
            )
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        )

    def send(self, messages: Sequence[Message]) -> None:
        body = b'{"messages":[%b]}' % b",".join([message.body for message in messages])
        name = f"{messages[0].id}+{len(messages)}"
        stamp = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(self._key, name, stamp, body),
        }
        try:
            self._connection.request("POST", self._target, body, headers)
            answer = self._connection.getresponse()
            said = answer.read(1000)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise NoAnswer(f"the webhook does not answer: {str(error) or type(error).__name__}") from error
        if 200 <= answer.status < 300:
            return
        told = f"the webhook answered {answer.status}: {said[:200].decode(errors='replace')}"
        if 400 <= answer.status < 500 and answer.status not in AGAIN:
            raise Refused(told)
        raise Fails(told) if answer.status >= 500 and answer.status not in AWAY else NoAnswer(told)

    def close(self) -> None:
        self._connection.close()


def new_secret() -> str:
    """A secret to share with a consumer."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The bytes of a secret. Raises UsageError for one that is too short or not written as it should be."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise UsageError(
            f"a webhook's secret: expected {PREFIX} and base64, as `servable table secret` makes"
        ) from error
    if len(key) < 24:
        raise UsageError("a webhook's secret: expected at least 24 bytes in base64, as `servable table secret` makes")
    return key


def signature(key: bytes, name: str, stamp: str, body: bytes) -> str:
    """What the header holds.

    >>> signature(b"k" * 32, "msg_1", "1700000000", b"{}")
    'v1,3sOcjp9LSFloZNG4djSBtbk6gHDplP0wungD5l+W7DU='
    """
    signed = hmac.new(key, b"%b.%b.%b" % (name.encode(), stamp.encode(), body), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
