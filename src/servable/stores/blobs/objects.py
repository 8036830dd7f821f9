"""Blobs in object storage: S3 and what speaks like it, Google's and Azure's. One library for all three (obstore).

Keys, region and endpoint are read where every tool of that storage reads them: `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` and so on, or the machine's own role. An upload becomes
visible as a whole, when it is complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from servable.errors import EnvironmentFault, MissingExtra, NotFound

PATIENCE: Final = {"timeout": "120s", "connect_timeout": "10s"}
"""Of one request; a file takes several."""
RETRIES: Final[dict[str, Any]] = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}


class Objects:
    """The objects below one prefix of one bucket."""

    def __init__(self, url: str) -> None:
        """Raises MissingExtra, and EnvironmentFault for settings of the storage that make no sense."""
        try:
            import obstore
            import obstore.store  # not loaded by the package itself
        except ImportError as error:
            raise MissingExtra("s3", "keep bundles in object storage", missing=error.name) from error
        self._url = url
        self._library: Any = obstore
        options: dict[str, Any] = dict(PATIENCE)
        if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
            options["allow_http"] = True  # who names such an endpoint means it
        with self._wall("open"):
            self._store = self._library.store.from_url(url, client_options=options, retry_config=RETRIES)

    @property
    def place(self) -> str:
        return self._url

    def put(self, path: str, file: Path) -> None:
        with self._wall("write", path):
            self._library.put(self._store, path, file)

    def get(self, path: str, target: Path) -> None:
        with self._wall("read", path), target.open("wb") as out:
            for chunk in self._library.get(self._store, path):
                out.write(chunk)

    def has(self, path: str) -> bool:
        try:
            with self._wall("read", path):
                self._library.head(self._store, path)
        except NotFound:
            return False
        return True

    def paths(self, prefix: str) -> list[str]:
        with self._wall("list", prefix):
            return sorted(each["path"] for part in self._library.list(self._store, prefix) for each in part)

    def remove(self, path: str) -> None:
        with self._wall("remove", path):
            self._library.delete(self._store, path)

    @contextmanager
    def _wall(self, act: str, path: str = "") -> Iterator[None]:
        from obstore.exceptions import BaseError, NotFoundError

        what = f"{path!r} in {self.place}" if path else self.place
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            if act == "read":
                raise NotFound(f"there is no {what}") from error
            raise EnvironmentFault(f"cannot {act} {what}: there is no such bucket or container") from error
        except (BaseError, OSError, ValueError) as error:
            said = str(error).splitlines()[0][:300]
            raise EnvironmentFault(f"cannot {act} {what}: {said}; see its keys, region and endpoint") from error
