"""Registered: the registry of a server, asked and changed from afar: what `servable models` does, over `/admin`.

`client.registry.promote("churn:3")`. The acts are written down under the name of the client's key.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from servable.client import exchange
from servable.domain.ref import Ref
from servable.errors import UsageError

if TYPE_CHECKING:
    import httpx

CHAMPION: Final = "champion"


class Registered:
    """Every method raises the ServableError that the server tells."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def models(self) -> list[dict[str, Any]]:
        """Every name, with its aliases and versions."""
        return list(self._ask("GET", "/admin/models"))

    def model(self, name: str) -> dict[str, Any]:
        """One name."""
        return dict(self._ask("GET", f"/admin/models/{Ref.parse(name).name}"))

    def version(self, ref: str) -> dict[str, Any]:
        """One version: its digest, tags, aliases, and what the gate says of it."""
        return dict(self._ask("GET", self._path(ref)))

    def verdicts(self, ref: str) -> list[dict[str, Any]]:
        """What checks said of a version, each run of them."""
        return list(self._ask("GET", f"{self._path(ref)}/verdicts"))

    def history(self, name: str) -> list[dict[str, Any]]:
        """All that was ever done to a name."""
        return list(self._ask("GET", f"/admin/models/{Ref.parse(name).name}/history"))

    def register(self, folder: Path | str, name: str) -> dict[str, Any]:
        """Send a bundle's folder; the version that it became. The same again is the version that it was."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    tar.add(path, path.relative_to(folder).as_posix(), recursive=False)
        return dict(self._ask("POST", f"/admin/models/{Ref.parse(name).name}/versions", out.getvalue()))

    def promote(self, ref: str, alias: str = CHAMPION, override: str | None = None) -> dict[str, Any]:
        """Point an alias at a version. `champion` takes none that the gate holds back, unless `override` says why."""
        version = self.version(ref)
        body = orjson.dumps({"version": version["version"], "override": override})
        asked = Ref.parse(f"{version['name']}@{alias}")
        return dict(self._ask("PUT", f"/admin/models/{asked.name}/aliases/{asked.alias}", body))

    def unalias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        asked = Ref.parse(f"{name}@{alias}")
        self._ask("DELETE", f"/admin/models/{asked.name}/aliases/{asked.alias}")

    def tag(self, ref: str, tags: Mapping[str, str | None]) -> dict[str, Any]:
        """Set tags of a version; None takes one away."""
        return dict(self._ask("PUT", f"{self._path(ref)}/tags", orjson.dumps(dict(tags))))

    def delete(self, ref: str) -> None:
        """Take a version out; its number is never given again."""
        self._ask("DELETE", self._path(ref))

    def _path(self, ref: str) -> str:
        asked = Ref.parse(ref)
        number = asked.version or asked.alias
        if number is None:
            raise UsageError(f"{ref!r} names no version: expected {asked.name}:VERSION or {asked.name}@ALIAS")
        return f"/admin/models/{asked.name}/versions/{number}"

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        headers = {"content-type": "application/json"} if body is not None and method != "POST" else {}
        reply = self._http.request(method, path, content=body, headers=headers)
        if reply.status_code >= 400:
            raise exchange.failure(reply.status_code, reply.content)
        return orjson.loads(reply.content)
