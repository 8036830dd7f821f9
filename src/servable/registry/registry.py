"""Registry: what may be done with names, versions and aliases. An act is decided, written and on disk, or not done.

One act at a time, of all processes and machines that share the journal. What may be asked is in `reading.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from servable.domain.ref import Ref
from servable.domain.verdict import Verdict
from servable.errors import CheckFailed, Conflict, NotFound, UsageError
from servable.registry.catalog import GATE, Version
from servable.registry.event import Event, Kind
from servable.registry.policy import CHAMPION, held_back
from servable.registry.reading import Reading
from servable.registry.uses import uses


class Registry(Reading):
    """What may be done to it, besides what may be asked. Cheap to make: files come into being with the first act."""

    def register(self, folder: Path | str) -> Version:
        """Take a bundle in as the next version of its name. On disk, as a whole, when this returns.

        The same bundle again is the version that it was: a call may be repeated when its answer was lost.
        Raises BundleError for what is no bundle, EnvironmentFault for a disk that refuses.
        """
        from servable.bundles.open import open_bundle

        bundle = open_bundle(Path(folder))
        if bundle.inferred:
            raise UsageError(f"{str(folder)!r} is a bare model, not a bundle: pack it first  (servable pack)")
        stated = bundle.manifest
        detail = {"format": stated.format, "libraries": dict(stated.libraries), "checks": list(stated.checks)}
        if fallbacks := sorted({rule.fallback for rule in stated.rules if rule.fallback}):
            detail["fallbacks"] = fallbacks
        with self._journal.hold():
            model = self.catalog().models.get(bundle.name)
            same = [version for version in (model.living if model else ()) if version.digest == bundle.digest]
            self._storage().take_in(bundle)
            if same:
                return same[-1]
            number = str(1 + (int(model.versions[-1].version) if model and model.versions else 0))
            self._append("registered", bundle.name, number, digest=bundle.digest, detail=detail)
            return self.catalog().find(Ref(bundle.name, number))

    def alias(self, name: str, alias: str, version: str, override_reason: str | None = None) -> Version:
        """Let an alias of a name point at a version, wherever it pointed before.

        `champion` takes none that the gate holds back, unless a reason to override it is given, which stays in the
        history. Raises NotFound, UsageError, CheckFailed.
        """
        Ref.parse(f"{name}@{alias}")
        if alias.isdigit():
            raise UsageError(f"an alias cannot be a number: {alias!r} would be mistaken for a version")
        with self._journal.hold():
            catalog = self.catalog()
            found = catalog.find(Ref(name, version))
            model = catalog.model(name)
            reason = held_back(found, model) if alias == CHAMPION else ""
            if reason and not (override_reason or "").strip():
                raise CheckFailed(
                    f"{name}:{version} cannot be {name}@{alias}: {reason}. To do it all the same, give the reason: "
                    "--override REASON"
                )
            if model.aliases.get(alias) != version:
                detail = {"override": override_reason, "held_back": reason} if reason else {}
                self._append("aliased", name, version, alias=alias, detail=detail)
            return found

    def promote(self, ref: Ref | str, alias: str = CHAMPION, override_reason: str | None = None) -> Version:
        """Let an alias point at the version that a Ref means. Raises as `alias` does."""
        found = self.catalog().find(Ref.of(ref))
        return self.alias(found.name, alias, found.version, override_reason)

    def unalias(self, name: str, alias: str) -> None:
        """Take an alias away. Raises NotFound."""
        with self._journal.hold():
            found = self.catalog().find(Ref(name, alias=alias))
            self._append("unaliased", name, found.version, alias=alias)

    def tag(self, ref: Ref | str, tags: Mapping[str, str]) -> Version:
        """Set tags of a version, words for people to find it by. Raises NotFound, UsageError."""
        for key in tags:
            if not key or len(key) > 128 or not key.isprintable():
                raise UsageError(f"tag {key!r}: expected a word of at most 128 characters")
        return self._tag(Ref.of(ref), dict(tags))

    def untag(self, ref: Ref | str, keys: Sequence[str]) -> Version:
        """Take tags away. Raises NotFound, which lists those there are."""
        known = self.catalog().find(Ref.of(ref)).tags
        for key in keys:
            if key not in known:
                raise NotFound(f"{ref} has no tag {key!r} (there are: {', '.join(known) or 'none'})")
        return self._tag(Ref.of(ref), dict.fromkeys(keys))

    def _tag(self, ref: Ref, changes: Mapping[str, str | None]) -> Version:
        with self._journal.hold():
            found = self.catalog().find(ref)
            if not changes:
                return found
            self._append("tagged", found.name, found.version, detail=dict(changes))
            return self.catalog().find(Ref(found.name, found.version))

    def record_verdicts(self, ref: Ref | str, verdicts: Sequence[Verdict], source: str = GATE) -> Version:
        """Write down what checks said of a version. Those of the source `gate` decide whether it may be champion: all
        must have passed, and there must be one. Raises NotFound.
        """
        detail = {"source": source, "passed": bool(verdicts) and all(verdict.passed for verdict in verdicts)}
        body = [msgspec.to_builtins(verdict) for verdict in verdicts]
        with self._journal.hold():
            found = self.catalog().find(Ref.of(ref))
            self._append("judged", found.name, found.version, detail=detail, body=body)
            return self.catalog().find(Ref(found.name, found.version))

    def note(self, name: str, what: str, facts: Mapping[str, Any]) -> None:
        """Write down facts of a name under a word; the last ones hold: `catalog().model(name).noted[what]`.

        How other shelves keep small state of a name with its history. Raises NotFound.
        """
        with self._journal.hold():
            self.catalog().model(name)
            self._append("noted", name, "0", detail={"what": what, "facts": dict(facts)})

    def sign(self, ref: Ref | str, key: Path) -> str:
        """Sign a version's bundle with a private key (Ed25519, a PEM file), once it is proven undamaged.

        The public key, in base64. Raises NotFound, BundleError, UsageError, MissingExtra.
        """
        version, _ = self.open(ref)
        public = self._storage().sign(version.digest, key)
        with self._journal.hold():
            self._append("signed", version.name, version.version, detail={"key": public})
        return public

    def delete(self, ref: Ref | str, *, purge: bool = False) -> list[Version]:
        """Take a version out, or of a bare name all; those taken out. Their numbers are never given again.

        Their files stay, as a running server may still need them, unless `purge` says otherwise; files that another
        version shares stay in any case. Raises NotFound, and Conflict for a version that is used (`uses.py`).
        """
        ref = Ref.of(ref)
        with self._journal.hold():
            catalog = self.catalog()
            model = catalog.model(ref.name)
            whole = ref.version is None and ref.alias is None
            gone = list(model.living) if whole else [catalog.find(ref)]
            kept = next(uses(catalog, model, gone, whole=whole), None)
            if kept is not None:
                raise Conflict(str(kept))
            held = [alias for alias, number in model.aliases.items() if number in {v.version for v in gone}]
            self._journal.append(
                [
                    *(self._event("unaliased", ref.name, model.aliases[alias], alias=alias) for alias in held),
                    *(self._event("deleted", ref.name, version.version, digest=version.digest) for version in gone),
                ]
            )
            if purge:
                left = self.catalog()
                for digest in {version.digest for version in gone}:
                    if not left.uses(digest):
                        self._storage().remove(digest)
            return gone

    def _append(self, kind: Kind, name: str, version: str, **facts: Any) -> None:
        self._journal.append([self._event(kind, name, version, **facts)])

    def _event(self, kind: Kind, name: str, version: str, **facts: Any) -> Event:
        return Event(0, self._now(), self._who, kind, name, int(version), **facts)
