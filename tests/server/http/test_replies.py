"""What ordinary routes share: a caller who hangs up cancels the work, a body is bounded, an error has its one shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from starlette.requests import ClientDisconnect, Request

from servable.errors import InvalidInput, NotFound, Overloaded, TooLarge, Unauthenticated, Unsupported
from servable.server.http.replies import body_of, document_of, reply_error, unless_gone
from servable.settings import Settings


def request(*messages: dict[str, Any], headers: tuple[tuple[bytes, bytes], ...] = (), wait: bool = False) -> Request:
    """A request whose messages come one after the other; then nothing (`wait`), or the end."""

    async def told() -> AsyncIterator[dict[str, Any]]:
        for message in messages:
            yield message
        if wait:
            await asyncio.Event().wait()

    stream = told()

    async def receive() -> dict[str, Any]:
        return await anext(stream)

    return Request({"type": "http", "method": "POST", "path": "/", "headers": list(headers)}, receive)


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_caller_who_hangs_up_cancels_the_work() -> None:
    ended: list[str] = []

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "never"

    with pytest.raises(ClientDisconnect):
        asyncio.run(unless_gone(request({"type": "http.disconnect"}), work()))
    assert ended == ["cancelled"]


def test_a_caller_who_waits_gets_the_answer_or_the_error() -> None:
    async def answer() -> str:
        await asyncio.sleep(0)
        return "answer"

    async def refuse() -> str:
        raise Overloaded("no room")

    assert asyncio.run(unless_gone(request(wait=True), answer())) == "answer"
    with pytest.raises(Overloaded):
        asyncio.run(unless_gone(request(wait=True), refuse()))


def test_a_body_is_read_up_to_its_limit() -> None:
    settings = Settings(max_body_bytes=10)
    assert asyncio.run(body_of(request(part(b"12345", more=True), part(b"67890")), settings)) == b"1234567890"
    with pytest.raises(TooLarge):
        asyncio.run(body_of(request(part(b"123456", more=True), part(b"67890")), settings))
    with pytest.raises(InvalidInput, match="closed"):
        asyncio.run(body_of(request(part(b"1", more=True), {"type": "http.disconnect"}), settings))
    with pytest.raises(Unsupported):
        asyncio.run(body_of(request(part(b"1"), headers=((b"content-encoding", b"br"),)), settings))


def test_a_document_is_an_object_or_nothing() -> None:
    assert document_of(b" \n", {}) == {}
    assert document_of(b'{"a": 1}', {}) == {"a": 1}
    for body in (b"[]", b"{", b"1", b"\xff", b"[" * 100_000):
        with pytest.raises(InvalidInput) as refused:
            document_of(body, {"works": True})
        assert refused.value.detail["example"] == {"works": True}


def test_an_error_has_its_headers_and_one_shape() -> None:
    busy = reply_error(Overloaded("no room", retry_after_s=2.4))
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
    assert reply_error(Unauthenticated("who?")).headers["www-authenticate"] == "Bearer"
    plain = reply_error(NotFound("nothing here"), "id-1", message="nothing here")
    body = orjson.loads(plain.body)
    assert body == {"error": "nothing here", "code": "not_found", "id": "id-1", "message": "nothing here"}
    assert int(plain.headers["content-length"]) == len(plain.body)
