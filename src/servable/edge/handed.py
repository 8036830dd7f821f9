"""Handed: bodies of which a rule hands rows over to a model that is not on the device, so it asks a server. A proof
asks a real one: `servable serve`, started here for as long as it is needed.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from servable.bundles.load import Predictor
from servable.bundles.opened import Opened
from servable.edge.served import Told
from servable.errors import ModelFailed, NotFound

HERE: Final = "127.0.0.1"
SHARED: Final = ("bundles", "environments")
"""Of a home, what a second server may read beside its own."""
END_S: Final = 30
ANSWER_S: Final = 60


class _HandedOver(NotFound):
    code: ClassVar[str] = "handed_over"


def apart(predictor: Predictor) -> Predictor:
    """The same model and rules; bodies of which rows are handed over are told apart (`is_handed`). Needs no closing."""

    def nowhere(ref: str) -> Predictor:
        raise _HandedOver(f"{ref!r} is not on the device")

    return Predictor(Opened(predictor.bundle, predictor.model), nowhere)


def is_handed(told: Told) -> bool:
    """Whether a body was none for the device alone."""
    return told.get("code") == _HandedOver.code


class Door(NamedTuple):
    """A server of a model and of those that its rules hand rows to, and the port of the pages that may ask it."""

    url: str
    name: str
    page_port: int

    def in_place(self, bodies: Sequence[Any], told: Sequence[Told]) -> list[Told]:
        """What was told, with the server's answers to those bodies that were handed over."""
        return [self._answer(body) if is_handed(answer) else answer for body, answer in zip(bodies, told, strict=True)]

    def _answer(self, body: Any) -> Told:
        request = urllib.request.Request(  # noqa: S310 - a door of ours
            f"{self.url}/v2/models/{self.name}/infer", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310 - as above
                told: Told = json.load(answer)
        except urllib.error.HTTPError as error:
            told = json.load(error)
        return told


@contextmanager
def door(home: Path, name: str, version: str) -> Iterator[Door]:
    """Serve a registered version, on ports of its own and beside whatever is served from that home. Raises ModelFailed
    where it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="servable-edge-") as place:
        port = _free_port()
        settings = {
            "home": _mirrored(home, Path(place) / "home"), "host": HERE, "http_port": 0, "grpc_port": -1, "workers": 1,
            "allowed_origins": f"http://{HERE}:{port}", "require_key": "false",
        }  # fmt: skip
        environment = os.environ | {f"SERVABLE_{key.upper()}": str(value) for key, value in settings.items()}
        command = [sys.executable, "-P", "-m", "servable", "serve", f"{name}:{version}", "--json"]
        with (Path(place) / "log.txt").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
            assert process.stdout is not None  # noqa: S101 - it was asked for
            try:
                said = process.stdout.readline()
                if not said:
                    log.seek(0)
                    raise ModelFailed(f"the server for the proof does not start: {log.read().strip()[-800:]}")
                yield Door(json.loads(said)["http"][0], name, port)
            finally:
                process.terminate()
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                process.stdout.close()


def _mirrored(home: Path, own: Path) -> Path:
    """A home with the same models: a server holds its home, and another may hold that one."""
    own.mkdir(mode=0o700)
    if (registry := home / "registry.db").exists():
        with closing(sqlite3.connect(registry)) as there, closing(sqlite3.connect(own / registry.name)) as here:
            there.backup(here)
    for part in SHARED:
        if (home / part).exists():
            (own / part).symlink_to((home / part).absolute())
    return own


def _free_port() -> int:
    with socket.socket() as held:
        held.bind((HERE, 0))
        port: int = held.getsockname()[1]
        return port
