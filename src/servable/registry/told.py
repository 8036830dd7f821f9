"""What is told of names, versions and events: the same words in `--json`, over REST and in Python."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from servable.registry.catalog import Model, Version
from servable.registry.event import Event, Judgement
from servable.registry.policy import CHAMPION, held_back


def date(seconds: float) -> str:
    """A time as ISO 8601, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def version_told(version: Version, model: Model) -> dict[str, Any]:
    """One version: whose it is, what it is called, and what the gate says of it."""
    return {
        "name": version.name,
        "version": version.version,
        "aliases": sorted([alias for alias, number in model.aliases.items() if number == version.version]),
        "tags": version.tags,
        "digest": version.digest,
        "format": version.detail.get("format", ""),
        "registered": date(version.registered),
        "by": version.by,
        "checks": list(version.checks),
        "gate": None if version.gate is None else {"passed": version.gate.passed, "time": date(version.gate.time)},
        "held_back": held_back(version, model),
    }


def model_told(model: Model) -> dict[str, Any]:
    """A name: its aliases and every version that is left, oldest first."""
    return {
        "name": model.name,
        "champion": model.aliases.get(CHAMPION),
        "aliases": model.aliases,
        "versions": [version_told(version, model) for version in model.living],
    }


def event_told(event: Event) -> dict[str, Any]:
    """One event of the history."""
    return {
        "time": date(event.time),
        "who": event.who,
        "what": event.kind,
        "version": str(event.version) if event.version else "",
        "alias": event.alias,
        "digest": event.digest,
        "detail": event.detail,
    }


def judgement_told(judgement: Judgement) -> dict[str, Any]:
    """What one run of checks said, whole."""
    return {
        "time": date(judgement.time),
        "who": judgement.who,
        "version": judgement.version,
        "source": judgement.source,
        "passed": judgement.passed,
        "verdicts": [msgspec.to_builtins(verdict) for verdict in judgement.verdicts],
    }
