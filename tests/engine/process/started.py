"""A model process without a supervisor, for the length of a `with`."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from servable.engine.plan import Target
from servable.engine.process.messages import Load


@contextlib.contextmanager
def model_process(bundle: Path) -> Iterator[str]:
    """Serve the bundle. Gives the address where its process listens."""
    with tempfile.TemporaryDirectory(prefix="servable-") as text, contextlib.ExitStack() as open_:
        folder = Path(text)
        (folder / "scratch").mkdir()
        listener = open_.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "socket"))
        listener.listen()
        control, theirs = map(open_.enter_context, socket.socketpair())
        command = [sys.executable, "-P", "-m", "servable.engine.process.main", "--control-fd", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(), listener.fileno()))
        theirs.close()
        load = Load(Target("m", "1", str(bundle)), listener.fileno(), str(folder / "scratch"), beat_s=1.0)
        control.sendall(msgspec.json.encode(load) + b"\n")
        try:
            with control.makefile("rb") as lines:
                if not any(b'"Up"' in line for line in lines):
                    raise RuntimeError("the model process did not come up")
                listening = threading.Thread(target=lambda: [None for _ in lines], daemon=True)
                listening.start()
                yield str(folder / "socket")
                process.kill()
                listening.join()
        finally:
            process.kill()
            process.wait()
