"""Reading: what may be asked of the registry. It waits for nobody, and imports no library of models: the parent of a
server reads here.
"""

from __future__ import annotations

import copy
import getpass
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from servable.domain.ref import Ref
from servable.domain.verdict import Verdict
from servable.errors import DigestMismatch, NotFound, ServableError
from servable.registry.catalog import Catalog, Version
from servable.registry.event import Event, Judgement
from servable.registry.journal import Journal
from servable.registry.policy import Wanted, wanted
from servable.registry.present import Present
from servable.settings import Settings, load_settings

if TYPE_CHECKING:
    from servable.domain.bundle import Bundle
    from servable.registry.storage import Storage

logger = logging.getLogger("servable.registry")

FILE: Final = "registry.db"
BUNDLES: Final = "bundles"


class Reading:
    """The registry of one home. Cheap to make: files come into being with the first act."""

    def __init__(
        self,
        home: Path | str,
        who: str | None = None,
        now: Callable[[], float] = time.time,
        *,
        database: str = "",
        bundles: str = "",
    ) -> None:
        """`who` is written beside every act; of itself the name of the user. `database` and `bundles` are URLs of where
        events and bundles lie that are shared by machines.
        """
        self.home = home = Path(home).expanduser().absolute()
        self._who = who or _user()
        self._now = now
        self._journal = Journal.at(database, home / FILE)
        self._present = Present(self._journal)
        self._bundles = bundles

    @classmethod
    def of(cls, settings: Settings | None = None, who: str | None = None) -> Self:
        """The registry that the settings name; of None, those of the environment."""
        settings = load_settings() if settings is None else settings
        return cls(settings.home_path, who, database=settings.registry_url, bundles=settings.bundles_url)

    @property
    def who(self) -> str:
        """Whose name is written beside every act."""
        return self._who

    def acting(self, who: str) -> Self:
        """The same registry, for somebody else."""
        other = copy.copy(self)
        other._who = who
        return other

    def catalog(self) -> Catalog:
        """All names, versions and aliases as they are now."""
        return self._present.catalog()

    def history(self, name: str) -> list[Event]:
        """All that was ever done to a name, oldest first. Raises NotFound for a name that was never registered."""
        events = self._journal.read(name)
        if not events:
            self.catalog().model(name)
        return events

    def wanted(self, ref: Ref | None = None) -> tuple[Wanted, ...]:
        """What a server of `ref` should load; of None: every name. Raises NotFound, CheckFailed."""
        return wanted(self.catalog(), ref)

    def verdicts(self, ref: Ref | str, source: str | None = None) -> list[Judgement]:
        """What checks said of a version (of a bare name: the newest), oldest first; of one source, or of all.

        A number that was not finite reads as NaN. Raises NotFound.
        """
        version = self.catalog().find(Ref.of(ref))
        return [
            _judgement(event)
            for event in self._journal.bodies(version.name, "judged")
            if str(event.version) == version.version and source in (None, event.detail["source"])
        ]

    def folder(self, version: Version) -> Path:
        """Where its bundle lies; fetched, where bundles are shared by machines and this one has no copy yet.

        Raises NotFound, BundleError, EnvironmentFault: only where they are shared.
        """
        return self._storage().fetch(version.digest) if self._bundles else self.home / BUNDLES / version.digest

    def place(self, version: Version) -> Path:
        """The same for a server: what cannot be fetched now is told by loading it, and holds up nothing else."""
        try:
            return self.folder(version)
        except ServableError as error:
            logger.warning("%s:%s cannot be fetched: %s", version.name, version.version, error.message)
            return self.home / BUNDLES / version.digest

    def open(self, ref: Ref | str) -> tuple[Version, Bundle]:
        """The version that a Ref means, with its bundle: every file is read and proven against its digest.

        Raises NotFound, and BundleError with what is below it for a bundle that is damaged or gone.
        """
        from servable.bundles.open import open_bundle

        version = self.catalog().find(Ref.of(ref))
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

    def _storage(self) -> Storage:
        from servable.registry.storage import Storage

        if not self._bundles:
            return Storage(self.home / BUNDLES)
        from servable.registry.shared import Shared
        from servable.stores.blobs.port import blobs_at

        return Storage(self.home / BUNDLES, Shared(blobs_at(self._bundles)))


def _judgement(event: Event) -> Judgement:
    said = [
        verdict | {"numbers": {key: _number(value) for key, value in verdict.get("numbers", {}).items()}}
        for verdict in event.body
    ]
    verdicts = msgspec.convert(said, tuple[Verdict, ...])
    source, passed = event.detail["source"], event.detail["passed"]
    return Judgement(event.time, event.who, str(event.version), source, passed, verdicts)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"uid {os.geteuid()}"
