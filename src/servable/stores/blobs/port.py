"""Blobs: the port. A file is there as a whole or not at all, and is never changed once it is."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from servable.errors import UsageError


class Blobs(Protocol):
    """Files by their path, with `/`. What the place refuses comes out as EnvironmentFault that names it."""

    @property
    def place(self) -> str:
        """The URL, for messages."""
        ...

    def put(self, path: str, file: Path) -> None:
        """Keep a copy of a file; in place of what is there under this path. Durable when this returns."""
        ...

    def get(self, path: str, target: Path) -> None:
        """Write a copy to a new file. Raises NotFound."""
        ...

    def has(self, path: str) -> bool:
        """Whether there is a file of this path."""
        ...

    def paths(self, prefix: str) -> list[str]:
        """Every path below a folder, in order."""
        ...

    def remove(self, path: str) -> None:
        """Let go of a file; of one that is not there as well."""
        ...


def blobs_at(url: str) -> Blobs:
    """The place of a URL: `file:///mnt/bundles`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

    Raises UsageError for another kind, MissingExtra.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "file" and rest.startswith("/"):
        from servable.stores.blobs.files import Files

        return Files(Path(rest))
    if separator and rest and scheme in {"s3", "gs", "az"}:
        from servable.stores.blobs.objects import Objects

        return Objects(url)
    raise UsageError(f"{url!r} is no place for bundles: expected file:///FOLDER, s3://BUCKET/PREFIX, gs://… or az://…")
