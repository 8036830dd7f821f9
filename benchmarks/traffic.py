"""Traffic: ready HTTP requests for one server, and how to judge each answer. What every load generator is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.case import Case
from benchmarks.dialect import Dialect

HOST = "127.0.0.1"
OK = 200


@dataclass(frozen=True)
class Traffic:
    """`requests` are whole HTTP/1.1 requests, sent in turn.

    `judge(index, status, headers, body)` raises if the answer to the request of that index is wrong.
    """

    port: int
    path: str
    requests: tuple[bytes, ...]
    judge: Callable[[int, int, Mapping[str, str], bytes], None]


def traffic(
    case: Case, dialect: Dialect, port: int, model: str = "model", extra: Mapping[str, str] | None = None
) -> Traffic:
    """The case spoken in the dialect to the server on `port`, with `extra` headers."""
    path = dialect.path.format(model=model)
    requests = []
    for part in case.parts:
        body, headers = dialect.request(case.source, part)
        requests.append(raw(port, path, {**headers, **(extra or {})}, body))

    def judge(index: int, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if status != OK:
            raise Refused(f"{path} answered {status}: {body[:300]!r}")
        case.verify(index, dialect.answer(body, headers))

    return Traffic(port, path, tuple(requests), judge)


def raw(port: int, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes of a POST on a connection that stays open."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}:{port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Refused(Exception):
    """A server answered with another status than 200."""
