"""Consumers to push to: a webhook that does as it is told, and a sink that remembers."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from servable.offline.push.message import Message


class Remembering:
    """A sink. `answer` is called before a group is taken, and may raise."""

    def __init__(self, answer: Callable[[list[Message]], None] = lambda _: None) -> None:
        self.taken: list[Message] = []
        self.answer = answer

    def send(self, messages: list[Message]) -> None:
        self.answer(messages)
        self.taken += messages

    def close(self) -> None:
        pass

    @property
    def rows(self) -> dict[str, Any]:
        """The last row of each key."""
        return {message.key: json.loads(message.body)["row"] for message in self.taken}


class Hook:
    """What a webhook has seen. `status` answers the next requests, the last of them all that follow."""

    def __init__(self) -> None:
        self.url = ""
        self.status: list[int] = [200]
        self.seen: list[tuple[dict[str, str], bytes]] = []

    @property
    def messages(self) -> list[Any]:
        return [message for _, body in self.seen for message in json.loads(body)["messages"]]


@contextlib.contextmanager
def webhook() -> Iterator[Hook]:
    """An HTTP server on a free port."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = hook.status.pop(0) if len(hook.status) > 1 else hook.status[0]
            if status == 200:
                hook.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
