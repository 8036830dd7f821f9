"""Peer: another server, and all that is needed to set it beside ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.dialect import Dialect, OpenInference

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Place:
    """Where a peer runs: its Python, the model to serve, an empty folder for its files, its ports."""

    python: Path
    model: Path
    folder: Path
    port: int
    grpc_port: int

    def tool(self, name: str) -> str:
        """A program of the peer's environment."""
        return str(self.python.parent / name)


@dataclass(frozen=True)
class Peer:
    """`prepare(place)` writes what the peer wants on disk and returns the command that starts it.

    `packages` are installed in an environment of its own; a peer without any runs in ours. `programs` must be on the
    machine. `model` is the name it serves under. `goal` is the least ratio ours / its requests a second that we aim at.
    `settings` says, for the table, how it was set up: always its fastest way that serves one model in one process.
    """

    id: str
    """Its name in commands and folders."""
    name: str
    prepare: Callable[[Place], list[str]]
    settings: str
    goal: float | None = None
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    dialect: Dialect = field(default_factory=OpenInference)
    env: Mapping[str, str] = field(default_factory=dict)
    model: str = "model"
    judged: bool = True
    """False for a server that does not compute: its status is looked at, not its numbers."""

    def environment(self, place: Place) -> dict[str, str]:
        """The peer's environment variables. Its code finds `benchmarks.peers.apps` and the model's file by them."""
        path = f"{place.python.parent}:{os.environ.get('PATH', '')}"
        own = {"PYTHONPATH": str(ROOT), "PATH": path, "BENCHMARK_MODEL": str(place.model), "HOME": str(place.folder)}
        return {**own, **self.env}
