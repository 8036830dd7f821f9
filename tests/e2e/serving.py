"""`servable serve` in a process of its own, with real models, and clients that keep a history of their answers."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.server.supervised import PATIENCE_S, alive, eventually

__all__ = ["History", "Load", "Serving", "alive", "eventually", "write_model"]


def write_model(path: Path, offset: float) -> Path:
    """A model that tells which one it is: y = 2 x + offset. Replaced atomically, as a careful operator would."""
    import numpy as np

    two = numpy_helper.from_array(np.array([2.0], np.float32), "two")
    more = numpy_helper.from_array(np.array([offset], np.float32), "more")
    nodes = [helper.make_node("Mul", ["x", "two"], ["twice"]), helper.make_node("Add", ["twice", "more"], ["y"])]
    shape = ["rows", 1]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph(nodes, "line", [x], [y], [two, more])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    half = path.with_suffix(".half")
    half.write_bytes(model.SerializeToString())
    half.rename(path)
    onnx.checker.check_model(str(path))
    return path


class Serving:
    """A server for the length of a `with`; killed at its end if it still lives."""

    def __init__(self, folder: Path, *targets: Path, **settings: object) -> None:
        self._log = folder / "log.txt"
        flags = {"http_port": 0, "grpc_port": 0, "workers": 2, "home": folder / "home", **settings}
        environ = {f"SERVABLE_{name.upper()}": str(value) for name, value in flags.items()}
        command = [sys.executable, "-m", "servable", "serve", *map(str, targets), "--json"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environ}
            )
        self.host, self.port = "", 0
        self.grpc = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ready(self) -> Self:
        """Wait for the line that says where it listens."""
        addresses = self.said()
        assert "http" in addresses, f"{addresses} {self.log()}"
        url = urlsplit(addresses["http"][0])
        self.host, self.port = url.hostname or "", url.port or 0
        self.grpc = addresses["grpc"] or ""
        return self

    def said(self) -> Any:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def log(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request on a connection of its own: status, and the JSON that came."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def doors(self) -> list[int]:
        """The process ids of the doors, in the order of their slots, from the kernel."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if alive(int(child))]

    def all_ready(self, times: int) -> None:
        """Wait until the log has told so often that a door is ready."""
        eventually(lambda: self.log().count("is ready (") >= times, f"{times} doors to be ready in {self.log()}")

    def reload(self) -> None:
        """SIGHUP, and wait until all doors have it."""
        before = self.log().count("reloaded")
        self.send(signal.SIGHUP)
        eventually(lambda: self.log().count("reloaded") > before, f"the end of a reload in {self.log()}")


class History(NamedTuple):
    """One request: when it was sent, how it ended (a status, or the name of an exception), whose offset answered."""

    sent: float
    outcome: int | str
    offset: float | None


class Load:
    """Clients in threads, each with one request after another on a connection that it keeps, while the `with` lasts.

    An answer that is not 2 x + offset for its own x, whoever's offset, is an error of the test.
    """

    def __init__(self, serving: Serving, clients: int = 4, model: str = "line") -> None:
        self.history: list[History] = []
        self.wrong: list[str] = []
        self._serving = serving
        self._path = f"/v2/models/{model}/infer"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self.wrong == []

    def failed(self) -> list[History]:
        """All that did not end with a good answer."""
        return [seen for seen in list(self.history) if seen.outcome != 200]

    def offsets(self) -> set[float]:
        return {seen.offset for seen in list(self.history) if seen.offset is not None}

    def further(self, count: int = 50) -> None:
        """Wait until so many more requests have been answered well."""
        start = len(self.history)
        eventually(lambda: sum(seen.outcome == 200 for seen in self.history[start:]) >= count, "answers to the load")

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        connection = http.client.HTTPConnection(self._serving.host, self._serving.port, timeout=PATIENCE_S)
        while not self._stop.is_set():
            value = float(chance.randrange(1000))
            tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [value]}
            sent = time.monotonic()
            try:
                connection.request("POST", self._path, json.dumps({"id": str(value), "inputs": [tensor]}))
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.history.append(History(sent, type(error).__name__, None))
                connection.close()
                time.sleep(0.01)
                continue
            if response.status != 200:
                self.history.append(History(sent, response.status, None))
                continue
            offset = answer["outputs"][0]["data"][0] - 2 * value
            if answer["id"] != str(value) or not 0 <= offset <= 1000 or offset != int(offset):
                self.wrong.append(f"{value}: {answer}")
            self.history.append(History(sent, 200, offset))
            time.sleep(0.001)
        connection.close()
