"""Storage: the registered bundles' folders, `<home>/bundles/<digest>/`. A folder is there as a whole, or not at all.

Copies go to a hidden folder first; when every byte is on disk and proven, one rename makes it visible. Who dies before
leaves a hidden folder behind, which the next one sweeps. Where bundles are shared by machines, these folders are copies
that are fetched when they are asked for. One process at a time, by a lock that the kernel takes back from the dead.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from servable.bundles.open import open_bundle
from servable.bundles.signatures import join_signatures, sign
from servable.bundles.write import write_file
from servable.domain.bundle import MANIFEST, SIGNATURES, Bundle
from servable.errors import BundleError, DigestMismatch, EnvironmentFault
from servable.registry.shared import Shared
from servable.stores.whole import sync

INCOMING: Final = ".incoming-"
LOCK: Final = ".lock"


class Storage:
    """The bundles below one folder, and in the place that is shared, if there is one."""

    def __init__(self, root: Path, shared: Shared | None = None) -> None:
        self.root = root
        self._shared = shared

    def folder(self, digest: str) -> Path:
        """Where the bundle of this digest lies, or would."""
        return self.root / digest

    def take_in(self, bundle: Bundle) -> Path:
        """Copy a bundle in; its folder, on disk when this returns. One that is there already stays, if it is undamaged,
        and takes over the signatures.

        Raises EnvironmentFault (disk, shared place), and BundleError for what changed meanwhile.
        """
        target = self.folder(bundle.digest)
        with self._alone(f"store the bundle {bundle.name!r}"):
            if self._undamaged(bundle.digest):
                join_signatures(target, bundle.folder)
            else:
                self._bring(bundle.digest, lambda copy: _copy(bundle, copy))
        if self._shared is not None:
            self._shared.put(target, bundle)
        return target

    def fetch(self, digest: str) -> Path:
        """The folder of a bundle, copied here from the shared place if it is not there yet.

        Raises NotFound, BundleError for a copy that is not what it should be, EnvironmentFault.
        """
        target, shared = self.folder(digest), self._shared
        if shared is not None and not target.exists():
            with self._alone(f"fetch the bundle {digest}"):
                if not target.exists():
                    self._bring(digest, lambda copy: shared.get(digest, copy))
        return target

    def remove(self, digest: str) -> None:
        """Let go of a folder: out of sight with one rename, then its files."""
        with self._alone(f"remove {self.folder(digest)}"):
            self._hide(digest)
        if self._shared is not None:
            self._shared.remove(digest)

    def sign(self, digest: str, key: Path) -> str:
        """Add a private key's signature to a bundle that is here; the public key, in base64. Raises UsageError."""
        with self._alone("sign a bundle"):
            public = sign(self.folder(digest), digest, key)
        if self._shared is not None:
            self._shared.put_signatures(self.folder(digest), digest)
        return public

    def _undamaged(self, digest: str) -> bool:
        """Whether the bundle is here. One that is damaged is let go of."""
        if not self.folder(digest).exists():
            return False
        try:
            _prove(self.folder(digest), digest)
        except BundleError:
            self._hide(digest)
            return False
        return True

    def _bring(self, digest: str, copy_to: Callable[[Path], None]) -> None:
        copy = self.root / f"{INCOMING}{secrets.token_hex(8)}"
        try:
            copy_to(copy)
            _make_private(copy)
            _prove(copy, digest)
            copy.rename(self.folder(digest))
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            raise
        sync(self.root)

    def _hide(self, digest: str) -> None:
        gone = self.root / f"{INCOMING}{secrets.token_hex(8)}"
        try:
            self.folder(digest).rename(gone)
        except FileNotFoundError:
            return
        sync(self.root)
        shutil.rmtree(gone, ignore_errors=True)

    @contextmanager
    def _alone(self, act: str) -> Iterator[None]:
        """Hold the folder, in which what others died over is removed first."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                for left in self.root.glob(f"{INCOMING}*"):
                    shutil.rmtree(left, ignore_errors=True)
                yield
            finally:
                os.close(handle)
        except OSError as error:
            raise EnvironmentFault(f"cannot {act} in {self.root}: {error.strerror or error}") from error


def _copy(bundle: Bundle, target: Path) -> None:
    """The manifest, the files that it lists and their signatures, each on disk."""
    target.mkdir(mode=0o700)
    signed = (SIGNATURES,) if (bundle.folder / SIGNATURES).is_file() else ()
    for path in (MANIFEST, *signed, *(file.path for file in bundle.manifest.files)):
        write_file(target / path, bundle.folder / path)


def _make_private(copy: Path) -> None:
    """Every file and folder for its owner alone, and every folder's entries on disk."""
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        sync(folder)


def _prove(folder: Path, digest: str) -> None:
    """Read it all back. Raises BundleError and what is below it."""
    found = open_bundle(folder).digest
    if found != digest:
        raise DigestMismatch(f"the bundle in {folder} has digest {found}, expected was {digest}: it was changed")
