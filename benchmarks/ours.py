"""Servable as it is started for the benchmarks: `servable serve FILE`, one door, one core."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import Case
from benchmarks.dialect import Dialect, OpenInference
from benchmarks.machine import tree
from benchmarks.process import Process, first_answer_s, free_port, started
from benchmarks.traffic import Traffic, traffic

HERE = Path(__file__).resolve().parent
SERVABLE = str(Path(sys.executable).with_name("servable"))
CONSTANT = "servable benchmark: constant answer\n"
JSON_DIALECT = OpenInference()


@dataclass(frozen=True)
class Ours:
    """A running server of ours."""

    process: Process
    port: int
    grpc_port: int
    model: str
    headers: Mapping[str, str]
    start_s: float

    def traffic(self, case: Case, dialect: Dialect = JSON_DIALECT) -> Traffic:
        """Requests of the case for this server."""
        return traffic(case, dialect, self.port, self.model, self.headers)

    @property
    def door(self) -> int:
        """The process that answers; the other one watches over it."""
        for pid in tree(self.process.pid):
            if b"servable.app" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return self.process.pid


@contextlib.contextmanager
def serve(
    case: Case, *flags: str, dialect: Dialect = JSON_DIALECT, env: Mapping[str, str] | None = None,
    model: Path | None = None, key: bool = False,
) -> Iterator[Ours]:  # fmt: skip
    """Serve the case's model, or another file of its contract, for the length of the block; with `key` behind one."""
    model = model or case.model
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        home, port, grpc_port = folder / "home", free_port(), free_port()
        headers = {"Authorization": f"Bearer {_new_key(home)}"} if key else {}
        command = [
            SERVABLE, "serve", str(model), "--home", str(home), "--http-port", str(port), "--grpc-port", str(grpc_port),
            "--workers", "1", *(["--require-key"] if key else []), *flags,
        ]  # fmt: skip
        with started(command, env or {}, folder / "log", folder) as process:
            first = traffic(case, dialect, port, model.stem, headers)
            start_s = first_answer_s(process, first)
            yield Ours(process, port, grpc_port, model.stem, headers, start_s)


@contextlib.contextmanager
def serve_constant(case: Case) -> Iterator[Ours]:
    """The same door before a runtime that computes nothing. `case` must be `constant(trees_case())`."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        model = Path(text) / "constant.model"
        model.write_text(CONSTANT)
        with serve(case, env=on_path(HERE / "constant"), model=model) as ours:
            yield ours


def constant(case: Case) -> Case:
    """The case as the constant runtime answers it: always as the trees answer its first row."""
    return Case(case.model, case.source, case.parts, case.expected[:1] * len(case.parts))


def on_path(folder: Path) -> dict[str, str]:
    """An environment in which Python finds the folder's modules and packages."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))}


def _new_key(home: Path) -> str:
    command = [SERVABLE, "keys", "create", "benchmark", "--role", "invoker", "--home", str(home), "--json"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    return str(json.loads(made.stdout)["key"])
