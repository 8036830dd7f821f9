"""Catalog: what the events add up to. Pure: no clock, no file; the same events always give the same catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from servable.domain.ref import Ref
from servable.errors import NotFound
from servable.registry.event import Event

GATE = "gate"
"""The source of verdicts that decide whether a version may be promoted."""


class Gate(msgspec.Struct, frozen=True):
    """The last word of the gate about a version: whether all its checks passed, when, and who ran them."""

    passed: bool
    time: float
    by: str


class Version(msgspec.Struct, frozen=True):
    """One version of a name: its bundle, when it came and who brought it. A deleted one stays, as a tombstone."""

    name: str
    version: str
    digest: str
    registered: float
    by: str
    deleted: bool = False
    detail: dict[str, Any] = {}
    tags: dict[str, str] = {}
    gate: Gate | None = None

    @property
    def checks(self) -> tuple[str, ...]:
        """What its manifest demands of the gate."""
        return tuple(self.detail.get("checks", ()))

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """The Refs that its rules hand rows over to."""
        return tuple(self.detail.get("fallbacks", ()))


class Model(msgspec.Struct, frozen=True):
    """A name with all its versions, oldest first, its aliases (alias to version), and what was noted about it."""

    name: str
    versions: tuple[Version, ...]
    aliases: dict[str, str]
    noted: dict[str, dict[str, Any]] = {}

    @property
    def living(self) -> tuple[Version, ...]:
        """Those that are not deleted, oldest first."""
        return tuple(version for version in self.versions if not version.deleted)

    def version(self, number: str) -> Version | None:
        """The version of this number that is not deleted."""
        return next((version for version in self.versions if version.version == number and not version.deleted), None)


class Catalog(msgspec.Struct, frozen=True):
    """Every name ever registered."""

    models: dict[str, Model] = {}

    @staticmethod
    def of(events: Iterable[Event]) -> Catalog:
        """Fold events, in their order.

        >>> events = [Event(1, 0.0, "ada", "registered", "churn", 1, digest="d1"),
        ...           Event(2, 1.0, "ada", "aliased", "churn", 1, alias="champion")]
        >>> Catalog.of(events).find(Ref.parse("churn@champion")).digest
        'd1'
        """
        return Catalog().after(events)

    def after(self, events: Iterable[Event]) -> Catalog:
        """The catalog once these have happened as well. Names they do not touch are shared with this one."""
        changed: dict[str, _Folding] = {}
        for event in events:
            if event.name not in changed:
                changed[event.name] = _Folding(self.models.get(event.name))
            changed[event.name].take(event)
        return Catalog({**self.models, **{name: folding.model(name) for name, folding in changed.items()}})

    @property
    def living(self) -> Mapping[str, Model]:
        """The names that have a version left, in alphabetical order."""
        return {name: self.models[name] for name in sorted(self.models) if self.models[name].living}

    def model(self, name: str) -> Model:
        """A name that has a version left. Raises NotFound, which lists those there are."""
        found = self.models.get(name)
        if found is None or not found.living:
            raise NotFound(f"no model {name!r} is registered (there are: {', '.join(self.living) or 'none'})")
        return found

    def find(self, ref: Ref) -> Version:
        """The version that a Ref means; of a bare name the newest. Raises NotFound, which lists what there is."""
        model = self.model(ref.name)
        number = ref.version
        if ref.alias is not None:
            number = model.aliases.get(ref.alias)
            if number is None:
                raise NotFound(
                    f"{ref.name!r} has no alias {ref.alias!r} (there are: {', '.join(sorted(model.aliases)) or 'none'})"
                )
        if number is None:
            return model.living[-1]
        found = model.version(number)
        if found is None:
            known = ", ".join(version.version for version in model.living)
            raise NotFound(f"{ref.name!r} has no version {number!r} (there are: {known})")
        return found

    def uses(self, digest: str) -> bool:
        """Whether a version that is not deleted is this bundle."""
        return any(version.digest == digest for model in self.models.values() for version in model.living)


class _Folding:
    """A name while events are added to it."""

    def __init__(self, before: Model | None) -> None:
        self.versions = {int(version.version): version for version in before.versions} if before else {}
        self.aliases = dict(before.aliases) if before else {}
        self.noted = dict(before.noted) if before else {}

    def model(self, name: str) -> Model:
        return Model(name, tuple(self.versions.values()), self.aliases, self.noted)

    def take(self, event: Event) -> None:
        match event.kind:
            case "registered":
                self.versions[event.version] = Version(
                    event.name, str(event.version), event.digest, event.time, event.who, detail=event.detail
                )
            case "aliased":
                self.aliases[event.alias] = str(event.version)
            case "unaliased":
                self.aliases.pop(event.alias, None)
            case "deleted":
                self._change(event, deleted=True)
            case "tagged":
                tags = self.versions[event.version].tags | event.detail
                self._change(event, tags={key: value for key, value in tags.items() if value is not None})
            case "judged" if event.detail["source"] == GATE:
                self._change(event, gate=Gate(event.detail["passed"], event.time, event.who))
            case "noted":
                self.noted[event.detail["what"]] = event.detail["facts"]

    def _change(self, event: Event, **changes: Any) -> None:
        self.versions[event.version] = msgspec.structs.replace(self.versions[event.version], **changes)
