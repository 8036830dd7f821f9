"""Admin: the acts of a server's registry as conversations: what is asked, one call after another, and what the answers
come to. No network, and said once: `registered.py` lets both clients hold them.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import orjson

from servable.domain.ref import Ref
from servable.errors import UsageError

CHAMPION: Final = "champion"

T = TypeVar("T")


class Asked(NamedTuple):
    """One call."""

    method: str
    path: str
    body: bytes | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": "application/json"} if self.body is not None and self.method != "POST" else {}


Conversation: TypeAlias = Generator[Asked, Any, T]
"""Yields calls, is sent the JSON that each was answered with, and returns what the act gives."""


def models() -> Conversation[list[dict[str, Any]]]:
    """Every name, with its aliases and versions."""
    return list((yield Asked("GET", "/admin/models")))


def model(name: str) -> Conversation[dict[str, Any]]:
    """One name."""
    return dict((yield Asked("GET", f"/admin/models/{Ref.parse(name).name}")))


def version(ref: str) -> Conversation[dict[str, Any]]:
    """One version: its digest, tags, aliases, and what the gate says of it."""
    return dict((yield Asked("GET", _path(ref))))


def verdicts(ref: str) -> Conversation[list[dict[str, Any]]]:
    """What checks said of a version, each run of them."""
    return list((yield Asked("GET", f"{_path(ref)}/verdicts")))


def history(name: str) -> Conversation[list[dict[str, Any]]]:
    """All that was ever done to a name."""
    return list((yield Asked("GET", f"/admin/models/{Ref.parse(name).name}/history")))


def register(folder: Path | str, name: str) -> Conversation[dict[str, Any]]:
    """Send a bundle's folder; the version that it became. The same again is the version that it was."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(folder).as_posix(), recursive=False)
    return dict((yield Asked("POST", f"/admin/models/{Ref.parse(name).name}/versions", out.getvalue())))


def promote(ref: str, alias: str = CHAMPION, override: str | None = None) -> Conversation[dict[str, Any]]:
    """Point an alias at a version. `champion` takes none that the gate holds back, unless `override` says why."""
    found = yield from version(ref)
    body = orjson.dumps({"version": found["version"], "override": override})
    asked = Ref.parse(f"{found['name']}@{alias}")
    return dict((yield Asked("PUT", f"/admin/models/{asked.name}/aliases/{asked.alias}", body)))


def unalias(name: str, alias: str) -> Conversation[None]:
    """Take an alias away."""
    asked = Ref.parse(f"{name}@{alias}")
    yield Asked("DELETE", f"/admin/models/{asked.name}/aliases/{asked.alias}")


def tag(ref: str, tags: Mapping[str, str | None]) -> Conversation[dict[str, Any]]:
    """Set tags of a version; None takes one away."""
    return dict((yield Asked("PUT", f"{_path(ref)}/tags", orjson.dumps(dict(tags)))))


def delete(ref: str) -> Conversation[None]:
    """Take a version out; its number is never given again."""
    yield Asked("DELETE", _path(ref))


def _path(ref: str) -> str:
    asked = Ref.parse(ref)
    number = asked.version or asked.alias
    if number is None:
        raise UsageError(f"{ref!r} names no version: expected {asked.name}:VERSION or {asked.name}@ALIAS")
    return f"/admin/models/{asked.name}/versions/{number}"
