"""What the supervisor and a model process say to each other: JSON lines over a socketpair. No tensors, no model
library.

The supervisor sends Load, then perhaps Retire; the process sends Up or Down, and Pulses all the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from servable.domain.problem import Problem
from servable.engine.plan import Target
from servable.sandbox.walls import Walls, of_model


class Load(msgspec.Struct, frozen=True, tag=True):
    """The first message: load this, and answer doors that come to the listening socket `listen_fd`.

    `scratch` is the one folder it may write to; a Pulse is due every `beat_s`. `limit_bytes` bounds its memory, 0:
    nothing does. `sandbox` says whether it may do with less than all layers. `spawns`: it may start programs;
    `listens`: it may have Unix sockets of its own. `journal`: the folder where a learner keeps what it learned from;
    `shared`: machines share what it learns from, and a door brings it.
    """

    target: Target
    listen_fd: int
    scratch: str
    beat_s: float
    warm_up: bool = True
    sandbox: Literal["auto", "required", "off"] = "auto"
    limit_bytes: int = 0
    max_answer_bytes: int = 1 << 28
    spawns: bool = False
    listens: bool = False
    journal: str = ""
    shared: bool = False

    def walls(self) -> Walls:
        """What the process is left."""
        return Walls(
            self.target.name, of_model(Path(self.target.source)), self.scratch, self.journal, self.sandbox,
            self.limit_bytes, self.spawns, self.listens,
        )  # fmt: skip


class Retire(msgspec.Struct, frozen=True, tag=True):
    """Take no more calls, tell the doors, and exit 0."""


class Up(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded, proven and measured; doors are answered.

    `manifest` is the bundle's, as TOML; `curve` what a call costs: rows and seconds; `layers` what the sandbox is made
    of; `generates`: it makes texts.
    """

    manifest: str
    folder: str
    digest: str
    inferred: bool
    curve: tuple[tuple[int, float], ...]
    layers: tuple[str, ...]
    generates: bool = False


class Down(msgspec.Struct, frozen=True, tag=True):
    """The model cannot be loaded; the process is about to exit."""

    error: Problem


class Pulse(msgspec.Struct, frozen=True, tag=True):
    """The process lives. `doors` are connected to it; `left`: one of those that were has unloaded this version."""

    memory_bytes: int
    doors: int = 0
    left: bool = False


class Launch(msgspec.Struct, frozen=True):
    """What a door asks of the supervisor: a process for this version.

    `python`: another interpreter; `requirements`: a file of what its own environment holds. `spawns`: it starts
    programs; `listens`: it has Unix sockets of its own. `slot`: which of several alike. `learns`:
    it holds a journal, and learns from it.
    """

    target: Target
    python: str = ""
    requirements: str = ""
    spawns: bool = False
    slot: int = 0
    listens: bool = False
    learns: bool = False


class Hosted(msgspec.Struct, frozen=True):
    """What a door is told of a model process: where it listens, who it is, and what Up said."""

    address: str
    up: Up
