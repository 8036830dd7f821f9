"""Storage: the registered bundles' folders, `<home>/bundles/<digest>/`. A folder is there as a whole, or not at all.

Copies go to a hidden folder first; when every byte is on disk and proven, one rename makes it visible. Who dies before
leaves a hidden folder behind, which the next one sweeps. `registry.py` holds the lock, and judges who comes in.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Final

from servable.bundles.open import open_bundle
from servable.bundles.write import sync_folder, write_file
from servable.domain.bundle import MANIFEST, Bundle
from servable.errors import BundleError, DigestMismatch, EnvironmentFault

INCOMING: Final = ".incoming-"


class Storage:
    """The bundles below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, digest: str) -> Path:
        """Where the bundle of this digest lies, or would."""
        return self.root / digest

    def take_in(self, bundle: Bundle) -> Path:
        """Copy a bundle in; its folder, on disk when this returns. One that is there already stays, if it is undamaged.

        Call it under the registry's lock. Raises EnvironmentFault (disk), and BundleError for what changed meanwhile.
        """
        target = self.folder(bundle.digest)
        try:
            self._sweep()
            if target.exists():
                try:
                    _prove(target, bundle.digest)
                except BundleError:
                    self.remove(bundle.digest)  # damaged; and here comes a good one
                else:
                    return target
            copy = self.root / f"{INCOMING}{secrets.token_hex(8)}"
            try:
                _copy(bundle, copy)
                _prove(copy, bundle.digest)
                copy.rename(target)
            except BaseException:
                shutil.rmtree(copy, ignore_errors=True)
                raise
            sync_folder(self.root)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot store the bundle {bundle.name!r} in {self.root}: {error.strerror or error}"
            ) from error
        return target

    def remove(self, digest: str) -> None:
        """Let go of a folder: out of sight with one rename, then its files. Call it under the registry's lock."""
        gone = self.root / f"{INCOMING}{secrets.token_hex(8)}"
        try:
            self.folder(digest).rename(gone)
        except FileNotFoundError:
            return
        except OSError as error:
            raise EnvironmentFault(f"cannot remove {self.folder(digest)}: {error.strerror or error}") from error
        sync_folder(self.root)
        shutil.rmtree(gone, ignore_errors=True)

    def _sweep(self) -> None:
        """Make the root, and remove what others died over."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.root.glob(f"{INCOMING}*"):
            shutil.rmtree(left, ignore_errors=True)


def _copy(bundle: Bundle, target: Path) -> None:
    """The manifest and the files that it lists, private, each on disk, then every folder."""
    target.mkdir(mode=0o700)
    folders = {target}
    for path in (MANIFEST, *(file.path for file in bundle.manifest.files)):
        copy = target / path
        write_file(copy, bundle.folder / path)
        copy.chmod(0o600)
        folders |= {folder for folder in copy.parents if folder.is_relative_to(target)}
    for folder in folders:
        folder.chmod(0o700)
        sync_folder(folder)


def _prove(folder: Path, digest: str) -> None:
    """Read it all back. Raises BundleError and what is below it."""
    found = open_bundle(folder).digest
    if found != digest:
        raise DigestMismatch(f"the bundle in {folder} has digest {found}, expected was {digest}: it was changed")
