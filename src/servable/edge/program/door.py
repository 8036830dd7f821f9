"""The HTTP port of the program, by the standard library: Open Inference Protocol V2, tensors, binary tensors or rows.

It is for whoever works at this machine: the loopback address alone, no keys, one model call at a time.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Condition, Event, Lock, Thread
from typing import Any, Final, Self

import orjson

from servable.domain.batch import Batch
from servable.domain.signature import Signature
from servable.edge.program.held import Held
from servable.edge.program.living import Living
from servable.edge.program.remote import LENGTH
from servable.errors import (
    EnvironmentFault,
    Forbidden,
    InvalidInput,
    NotFound,
    Refused,
    ServableError,
    TooLarge,
    Unsupported,
    UsageError,
)
from servable.version import __version__
from servable.wire.metadata import contract
from servable.wire.open_inference import Codec
from servable.wire.outcomes import read_outcomes
from servable.wire.rows import rows_of

HERE: Final = "127.0.0.1"
NAMES: Final = frozenset({HERE, "localhost"})
"""What this machine is called by those on it. A page that makes its own name lead here is not among them."""
MOST_PORT: Final = 65535
MOST_BYTES: Final = 64 << 20
SILENT_S: Final = 30
DRAIN_S: Final = 10
EXTENSIONS: Final = ("classification", "binary_tensor_data", "parameters")


class Door:
    """Open from entering it; answers in `serve` until the process is told to end."""

    def __init__(self, model: Living, port: int) -> None:
        """Raises EnvironmentFault where the port is taken, UsageError where it is none."""
        if not 0 <= port <= MOST_PORT:
            raise UsageError(f"--port: expected 0 to {MOST_PORT}, got {port}")
        self._model = model
        self._facing: tuple[Held, Codec] | None = None
        self._prefix, self._count = secrets.token_hex(6), count(1)
        self._alone = Lock()
        self._over = Condition()
        self._open = 0
        try:
            self._server = _Server((HERE, port), _Request)
        except OSError as error:
            why = error.strerror or error
            raise EnvironmentFault(f"cannot listen on port {port}: {why}; name another with --port") from error
        self._server.door = self
        self.url = f"http://{HERE}:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Answer until SIGINT or SIGTERM, and look for updates; what is being answered then is answered."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        ended = Event()
        for does in (self._model.look, self._model.send):
            Thread(target=does, args=[ended], daemon=True).start()
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            ended.set()
            with self._over:
                self._over.wait_for(lambda: not self._open, DRAIN_S)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While a request is answered, the program does not end."""
        with self._over:
            self._open += 1
        try:
            yield
        finally:
            with self._over:
                self._open -= 1
                self._over.notify_all()

    def infer(self, body: bytes, request_id: str, json_length: str | None) -> tuple[bytes, int | None]:
        """The answer's body, and the length of its JSON part where binary tensors follow. Raises ServableError."""
        length = None
        if json_length is not None:
            if not json_length.isdigit():
                raise InvalidInput(f"header {LENGTH}: expected a whole number of bytes, got {json_length[:40]!r}")
            length = int(json_length)

        def here(held: Held) -> tuple[bytes, int | None]:
            codec = self._codec(held)
            inquiry = codec.decode(body, length)
            own = inquiry.options.id or request_id[:256] or f"{self._prefix}-{next(self._count):x}"
            try:
                answer = held.predictor.predict_batch(inquiry.batch)
            except Refused as error:
                self._record(own, held, inquiry.batch, None, error.code)
                raise
            self._record(own, held, inquiry.batch, answer)
            return codec.encode(own, answer, inquiry)

        with self._alone:
            return self._model.ask(here, lambda remote: remote.infer(body, length))

    def feedback(self, body: bytes) -> dict[str, Any]:
        """Keep outcomes for the server; on the disk when this returns. Raises ServableError."""
        queue = self._model.queue
        if queue is None:
            raise Unsupported("this program sends nothing home: it was exported without --records")
        told = read_outcomes(body)
        for one in told:
            queue.tell(one.id, one.outcome, one.time, one.version)
        return {"model_name": self._model.held.facts.manifest.name, "accepted": len(told)}

    def _record(self, id: str, held: Held, inputs: Batch, outputs: Batch | None, error: str = "") -> None:
        queue, signature = self._model.queue, held.predictor.signature
        if queue is None or not signature.batched:
            return
        # Inputs read like outputs: features within their name; what leaves is named by the features themselves.
        given = orjson.loads(rows_of(inputs, Signature((), signature.inputs)))
        rows = [
            {key: one for name, value in row.items()
             for key, one in (value.items() if isinstance(value, dict) else [(name, value)])}
            for row in given
        ]  # fmt: skip
        told = None if outputs is None else orjson.loads(rows_of(outputs, signature))
        queue.keep(id, held.facts.version, rows, told, error)

    def _codec(self, held: Held) -> Codec:
        """That of an edition; the last one is remembered."""
        if self._facing is None or self._facing[0] is not held:
            stated = held.facts.manifest
            self._facing = held, Codec(held.predictor.signature, stated.name, held.facts.version, stated.labels)
        return self._facing[1]

    def model_of(self, path: str) -> tuple[str, Held]:
        """What is asked of the model: the path behind its name and version; and the edition. Raises NotFound."""
        held = self._model.held
        base, version = f"/v2/models/{held.facts.manifest.name}", held.facts.version
        for start in (f"{base}/versions/{version}", base):
            if path == start or path.startswith(f"{start}/"):
                return path[len(start) :], held
        raise NotFound(f"there is nothing at {path!r:.200}: this is {base}, version {version}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


def _ready(held: Held) -> dict[str, Any]:
    return {"name": held.facts.manifest.name, "version": held.facts.version, "ready": True}


def _contract(held: Held) -> dict[str, Any]:
    stated = held.facts.manifest
    return contract(stated.name, [held.facts.version], stated.platform, held.predictor.signature)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    door: Door


class _Request(BaseHTTPRequestHandler):
    """One connection, request by request."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = f"servable/{__version__}"
    timeout = SILENT_S

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def _answered(self, answer: Any) -> None:
        with self.server.door.answering():
            try:
                host = self.headers.get("Host", HERE).partition(":")[0]
                if host not in NAMES:
                    raise Forbidden(f"this answers to {HERE} and localhost, not to {host!r:.80}")
                answer()
            except ServableError as error:
                self._send(orjson.dumps(error.body(), default=str), error.status)

    def _get(self) -> None:
        door, path = self.server.door, self.path.partition("?")[0]
        told: dict[str, Any]
        if path == "/v2":
            told = {"name": "servable", "version": __version__, "extensions": list(EXTENSIONS)}
        elif path == "/v2/health/live":
            told = {"live": True}
        elif path == "/v2/health/ready":
            told = {"ready": True}
        else:
            asked, held = door.model_of(path)
            if asked not in {"", "/ready"}:
                raise NotFound(f"there is nothing at {path!r:.200}")
            told = _ready(held) if asked else _contract(held)
        self._send(orjson.dumps(told))

    def _post(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        asked = self.server.door.model_of(path)[0]
        if asked == "/feedback":
            self._send(orjson.dumps(self.server.door.feedback(body)), 202)
            return
        if asked != "/infer":
            raise NotFound(f"there is nothing to be posted to at {path!r:.200}: rows and tensors go to /infer")
        answer, length = self.server.door.infer(body, self.headers.get("X-Request-Id", ""), self.headers.get(LENGTH))
        self._send(answer, json_length=length)

    def _body(self) -> bytes:
        """The whole body, of a length that is told beforehand. Where it is not read, the connection ends."""
        told = self.headers.get("Content-Length", "")
        self.close_connection, kept = True, self.close_connection
        if not told.isdigit() or "Transfer-Encoding" in self.headers:
            raise InvalidInput(f"header Content-Length: expected the bytes of the body, got {told!r:.40}")
        if int(told) > MOST_BYTES:
            raise TooLarge(f"the body has {int(told):,} bytes, at most {MOST_BYTES:,} are taken: ask in parts")
        if self.headers.get("Content-Encoding", "identity") != "identity":
            raise Unsupported("compressed bodies are not read here: send it as it is")
        body = self.rfile.read(int(told))
        self.close_connection = kept
        return body

    def _send(self, body: bytes, status: int = 200, json_length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if json_length is None else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        if json_length is not None:
            self.send_header(LENGTH, str(json_length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: what was asked is nobody's but the asker's."""
