"""Shared: bundles in a place that many machines reach, each below its digest. The manifest is written last, and taken
away first: where it is, the rest is.
"""

from __future__ import annotations

from pathlib import Path

from servable.bundles import digest, manifest
from servable.bundles.write import inside
from servable.domain.bundle import MANIFEST, SIGNATURES, Bundle
from servable.errors import DigestMismatch, EnvironmentFault
from servable.stores.blobs.port import Blobs


class Shared:
    """The bundles in one place. What is fetched is not proven here: `storage.py` does, as with any copy."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def put(self, folder: Path, bundle: Bundle) -> None:
        """Copy a bundle there. One that is there already is left as it is; its signatures are those of this folder."""
        self.put_signatures(folder, bundle.digest)
        if self._blobs.has(f"{bundle.digest}/{MANIFEST}"):
            return
        for file in bundle.manifest.files:
            self._blobs.put(f"{bundle.digest}/{file.path}", folder / file.path)
        self._blobs.put(f"{bundle.digest}/{MANIFEST}", folder / MANIFEST)

    def put_signatures(self, folder: Path, named: str) -> None:
        """Copy the signatures beside a bundle there."""
        if (folder / SIGNATURES).is_file():
            self._blobs.put(f"{named}/{SIGNATURES}", folder / SIGNATURES)

    def get(self, named: str, target: Path) -> None:
        """Copy the bundle of a digest into a new folder. Raises NotFound, DigestMismatch, EnvironmentFault."""
        target.mkdir(mode=0o700)
        stated = target / MANIFEST
        self._blobs.get(f"{named}/{MANIFEST}", stated)
        data = stated.read_bytes()
        if digest.of_bytes(data) != named:
            raise DigestMismatch(f"the manifest of {named} in {self._blobs.place} is another one: it was changed")
        for file in manifest.loads(data).files:
            copy = target / inside(file.path)
            try:
                copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._blobs.get(f"{named}/{file.path}", copy)
            except OSError as error:
                raise EnvironmentFault(f"cannot write {copy}: {error.strerror or error}") from error
        if self._blobs.has(f"{named}/{SIGNATURES}"):
            self._blobs.get(f"{named}/{SIGNATURES}", target / SIGNATURES)

    def remove(self, named: str) -> None:
        """Let go of a bundle."""
        self._blobs.remove(f"{named}/{MANIFEST}")
        for path in self._blobs.paths(named):
            self._blobs.remove(path)
