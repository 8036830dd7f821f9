"""Registry: what may be done with names, versions and aliases. An act is decided, written and on disk, or not done.

One act at a time: a lock on `<home>/.registry.lock`, which the kernel takes back from the dead. Reading takes none, and
imports no library of models: the parent of a server reads here.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from servable.domain.ref import Ref
from servable.errors import Conflict, DigestMismatch, EnvironmentFault, NotFound, UsageError
from servable.registry.catalog import Catalog, Version
from servable.registry.event import Event, Kind
from servable.registry.journal import Journal
from servable.registry.policy import Wanted, wanted

if TYPE_CHECKING:
    from servable.domain.bundle import Bundle
    from servable.registry.storage import Storage

FILE: Final = "registry.db"
BUNDLES: Final = "bundles"
LOCK: Final = ".registry.lock"


class Registry:
    """The registry of one home. Cheap to make: files come into being with the first act."""

    def __init__(self, home: Path, who: str | None = None, now: Callable[[], float] = time.time) -> None:
        """`who` is written beside every act; of itself the name of the user."""
        self.home = home = home.absolute()
        self._who = who or _user()
        self._now = now
        self._journal = Journal(home / FILE)

    def catalog(self) -> Catalog:
        """All names, versions and aliases as they are now."""
        return Catalog.of(self._journal.read())

    def history(self, name: str) -> list[Event]:
        """All that was ever done to a name, oldest first. Raises NotFound for a name that was never registered."""
        events = self._journal.read(name)
        if not events:
            self.catalog().model(name)
        return events

    def wanted(self, ref: Ref | None = None) -> tuple[Wanted, ...]:
        """What a server of `ref` should load; of None: every name. Raises NotFound."""
        return wanted(self.catalog(), ref)

    def folder(self, version: Version) -> Path:
        """Where its bundle lies."""
        return self.home / BUNDLES / version.digest

    def open(self, ref: Ref) -> tuple[Version, Bundle]:
        """The version that a Ref means, with its bundle: every file is read and proven against its digest.

        Raises NotFound, and BundleError with what is below it for a bundle that is damaged or gone.
        """
        from servable.bundles.open import open_bundle

        version = self.catalog().find(ref)
        folder = self.folder(version)
        if not folder.is_dir():
            raise NotFound(f"the bundle of {version.name}:{version.version} is gone from {folder}: pack it again")
        bundle = open_bundle(folder)
        if bundle.digest != version.digest:
            raise DigestMismatch(
                f"the bundle of {version.name}:{version.version} in {folder} has digest {bundle.digest}, registered "
                f"was {version.digest}: it was changed; pack it again"
            )
        return version, bundle

    def register(self, folder: Path | str) -> Version:
        """Take a bundle in as the next version of its name. On disk, as a whole, when this returns.

        The same bundle again is the version that it was: a call may be repeated when its answer was lost.
        Raises BundleError for what is no bundle, EnvironmentFault for a disk that refuses.
        """
        from servable.bundles.open import open_bundle

        bundle = open_bundle(Path(folder))
        if bundle.inferred:
            raise UsageError(f"{str(folder)!r} is a bare model, not a bundle: pack it first  (servable pack)")
        with self._lock():
            model = self.catalog().models.get(bundle.name)
            same = [version for version in (model.living if model else ()) if version.digest == bundle.digest]
            self._storage().take_in(bundle)
            if same:
                return same[-1]
            number = str(1 + (int(model.versions[-1].version) if model else 0))
            detail = {"format": bundle.manifest.format, "libraries": dict(bundle.manifest.libraries)}
            self._journal.append([self._event("registered", bundle.name, number, digest=bundle.digest, detail=detail)])
            return self.catalog().find(Ref(bundle.name, number))

    def alias(self, name: str, alias: str, version: str) -> Version:
        """Let an alias of a name point at a version, wherever it pointed before. Raises NotFound, UsageError."""
        Ref.parse(f"{name}@{alias}")
        if alias.isdigit():
            raise UsageError(f"an alias cannot be a number: {alias!r} would be mistaken for a version")
        with self._lock():
            found = self.catalog().find(Ref(name, version))
            if self.catalog().model(name).aliases.get(alias) != version:
                self._journal.append([self._event("aliased", name, version, alias=alias)])
            return found

    def unalias(self, name: str, alias: str) -> None:
        """Take an alias away. Raises NotFound."""
        with self._lock():
            found = self.catalog().find(Ref(name, alias=alias))
            self._journal.append([self._event("unaliased", name, found.version, alias=alias)])

    def delete(self, ref: Ref, *, purge: bool = False) -> list[Version]:
        """Take a version out, or of a bare name all; those taken out. Their numbers are never given again.

        Their files stay, as a running server may still need them, unless `purge` says otherwise; files that another
        version shares stay in any case. Raises NotFound, and Conflict for a version that an alias points at.
        """
        with self._lock():
            catalog = self.catalog()
            model = catalog.model(ref.name)
            whole = ref.version is None and ref.alias is None
            gone = list(model.living) if whole else [catalog.find(ref)]
            held = [alias for alias, number in model.aliases.items() if number in {v.version for v in gone}]
            if held and not whole:
                raise Conflict(
                    f"{ref} is {ref.name}@{held[0]}: point the alias elsewhere first  "
                    f"(servable models alias {ref.name}@{held[0]} VERSION, or --remove)"
                )
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

    def _event(self, kind: Kind, name: str, version: str, **facts: Any) -> Event:
        return Event(0, self._now(), self._who, kind, name, int(version), **facts)

    def _storage(self) -> Storage:
        from servable.registry.storage import Storage

        return Storage(self.home / BUNDLES)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the registry: other processes, and other threads of this one, wait."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.home / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot write in {self.home}: {error.strerror}; choose another with --home, or make it writable"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"uid {os.geteuid()}"
