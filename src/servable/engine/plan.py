"""Plan: the wanted state of a server. The host converges to it; the supervisor hands it to every door."""

from __future__ import annotations

import msgspec

from servable.domain.route import Route


class Target(msgspec.Struct, frozen=True):
    """One version that should be loaded, and where its bundle, model file or model folder lies.

    `device` is where it is to run. A higher `generation` of the same version means: load it anew, then drain the old
    one.
    """

    name: str
    version: str
    source: str
    digest: str | None = None
    generation: int = 0
    device: str = "cpu"


class Plan(msgspec.Struct, frozen=True):
    """All versions that should be loaded, the Route of each name, and the aliases of each name (alias to version)."""

    targets: tuple[Target, ...] = ()
    routes: dict[str, Route] = {}
    aliases: dict[str, dict[str, str]] = {}


class State(msgspec.Struct, frozen=True):
    """What became of one version: `READY`, `LOADING`, `UNLOADING` or `UNAVAILABLE`, and why if it is not ready.

    `code` is that of the error (see `errors`) if one is the reason.
    """

    name: str
    version: str
    state: str
    reason: str = ""
    code: str = ""
