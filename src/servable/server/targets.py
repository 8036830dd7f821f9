"""Targets: what a server is asked to serve, as a Plan: paths, Refs, or all that the registry deploys.

It opens no model and imports no library of one: the supervisor reads here.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.engine.plan import Plan, Target
from servable.errors import UsageError
from servable.server.devices import OTHERS, device_of, devices_of
from servable.settings import Settings

MANIFEST: Final = "manifest.toml"
"""Of a bundle; said again here, as the noun itself stands on numpy, which the supervisor does without."""
logger = logging.getLogger("servable.server")


def resolve(settings: Settings, targets: Sequence[str]) -> Plan:
    """The Plan for the targets of `servable serve`: paths and Refs; none: all that the registry deploys.

    Raises UsageError for a target that is neither, and what the registry raises.
    """
    devices = devices_of(settings.devices)
    plans = [_from_path(Path(text)) if _is_path(text) else _from_registry(settings, text) for text in targets]
    if not targets:
        plans = [_from_registry(settings, None)]
    names = [name for plan in plans for name in plan.routes]
    if strange := sorted(devices.keys() - {OTHERS, *names}):
        logger.warning("devices: no model is named %s here (there are: %s)", ", ".join(strange), ", ".join(names))
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two targets are named {name!r}: a name has one meaning; rename a file, or pack one with --name"
            )
    return Plan(
        tuple(_placed(target, devices) for plan in plans for target in plan.targets),
        {name: route for plan in plans for name, route in plan.routes.items()},
        {name: aliases for plan in plans for name, aliases in plan.aliases.items()},
    )


def _placed(target: Target, devices: dict[str, str]) -> Target:
    return msgspec.structs.replace(target, device=device_of(devices, target.name))


def declared(settings: Settings, targets: Sequence[str]) -> Declared | None:
    """What the registry goes on to declare of these targets; None where all are paths: it has no say in them, and its
    library costs a start a fifth of a second.
    """
    return Declared(settings) if not targets or any(not _is_path(text) for text in targets) else None


def _is_path(text: str) -> bool:
    return os.sep in text or "." in Path(text).suffix or Path(text).exists()


def _from_path(path: Path) -> Plan:
    """A bare model file serves under its stem, a bundle under its own name; both as version 1."""
    path = path.expanduser().absolute()
    if not path.exists():
        raise UsageError(
            f"there is no file or folder {str(path)!r}: give a model file, a bundle, or the name of a packed model"
        )
    name = _bundle_name(path) or _file_name(path.stem)
    return Plan((Target(name, "1", str(path)),), {name: Route("1")})


def _bundle_name(path: Path) -> str | None:
    try:
        return str(tomllib.loads((path / MANIFEST).read_text(encoding="utf-8"))["name"])
    except (OSError, KeyError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None  # no bundle, or a broken one, of which opening it will tell


def _file_name(stem: str) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in stem)[:128]
    return name if name[:1].isalnum() else f"m{name}"[:128]


def _from_registry(settings: Settings, text: str | None) -> Plan:
    from servable.registry.policy import wanted, with_fallbacks
    from servable.registry.registry import Registry

    registry = Registry.of(settings)
    catalog = registry.catalog()
    served = with_fallbacks(catalog, wanted(catalog, None if text is None else Ref.parse(text)))
    return Plan(
        tuple(
            Target(one.name, version.version, str(registry.place(version)), version.digest)
            for one in served
            for version in one.versions
        ),
        {one.name: one.route for one in served},
        {one.name: one.aliases for one in served},
    )


class Declared:
    """What the registry declares of releases and aliases, for the server that follows it (`supervisor/follower.py`)."""

    def __init__(self, settings: Settings) -> None:
        from servable.registry.news import News
        from servable.registry.registry import Registry

        self._registry = Registry.of(settings, "servable serve")
        self._news = News(self._registry)

    def news(self) -> set[str]:
        return self._news.names()

    def undo(self, name: str, route: Route, reason: str) -> None:
        from servable.release.acts import Acts

        Acts(self._registry).restore(name, route, f"not taken up: {reason}")
