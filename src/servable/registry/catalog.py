"""Catalog: what the events add up to. Pure: no clock, no file; the same events always give the same catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from servable.domain.ref import Ref
from servable.errors import NotFound
from servable.registry.event import Event


class Version(msgspec.Struct, frozen=True):
    """One version of a name: its bundle, when it came and who brought it. A deleted one stays, as a tombstone."""

    name: str
    version: str
    digest: str
    registered: float
    by: str
    deleted: bool = False
    detail: dict[str, Any] = {}


class Model(msgspec.Struct, frozen=True):
    """A name with all its versions, oldest first, and its aliases (alias to version)."""

    name: str
    versions: tuple[Version, ...]
    aliases: dict[str, str]

    @property
    def living(self) -> tuple[Version, ...]:
        """Those that are not deleted, oldest first."""
        return tuple(version for version in self.versions if not version.deleted)

    def version(self, number: str) -> Version | None:
        """The version of this number that is not deleted."""
        return next((version for version in self.living if version.version == number), None)


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
        versions: dict[str, dict[int, Version]] = {}
        aliases: dict[str, dict[str, str]] = {}
        for event in events:
            own, named = versions.setdefault(event.name, {}), aliases.setdefault(event.name, {})
            match event.kind:
                case "registered":
                    own[event.version] = Version(
                        event.name, str(event.version), event.digest, event.time, event.who, detail=event.detail
                    )
                case "aliased":
                    named[event.alias] = str(event.version)
                case "unaliased":
                    named.pop(event.alias, None)
                case "deleted":
                    own[event.version] = msgspec.structs.replace(own[event.version], deleted=True)
        return Catalog({name: Model(name, tuple(own.values()), aliases[name]) for name, own in versions.items()})

    @property
    def living(self) -> Mapping[str, Model]:
        """The names that have a version left, in alphabetical order."""
        return {name: self.models[name] for name in sorted(self.models) if self.models[name].living}

    def model(self, name: str) -> Model:
        """A name that has a version left. Raises NotFound, which lists those there are."""
        found = self.living.get(name)
        if found is None:
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
