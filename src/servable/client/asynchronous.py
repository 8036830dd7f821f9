"""AsyncClient: the same as Client, for an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from servable.client import exchange, tables
from servable.client.reach import reaching
from servable.client.registered import AsyncRegistered
from servable.errors import MissingExtra


class AsyncClient:
    """Keeps its connections open; for one event loop."""

    def __init__(self, url: str, key: str | None = None, timeout_s: float = 30.0) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtra("client", "ask a server", missing="httpx") from error
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.AsyncClient(base_url=exchange.base_url(url), headers=headers, timeout=timeout_s)
        self._known: dict[str, dict[str, Any]] = {}
        self.registry = AsyncRegistered(self._http)
        """See Client.registry."""

    async def predict(self, ref: str, data: Any, *, id: str | None = None, timeout_s: float | None = None) -> Any:
        """See Client.predict."""
        metadata = await self.metadata(ref)
        call = exchange.request(ref, metadata, data, id, timeout_s)
        reply = await self._post(call)
        outputs = exchange.answer(reply.status_code, reply.headers, reply.content)
        return tables.frame_of(outputs, data.index, metadata) if hasattr(data, "columns") else outputs

    async def lookup(self, table: str, keys: Any, rows: Any = None) -> dict[str, Any]:
        """The answers of a table of bulk predictions: `rows`, one for each key in its order, None for a miss; with them
        the model's version, the generation, its age in seconds and whether it is `stale`.

        `rows` are the inputs of each key, for a table that computes what it lacks. Raises NotFound for no such table.
        """
        call = exchange.lookup(table, keys, rows)
        reply = await self._post(call)
        return exchange.looked_up(reply.status_code, reply.content)

    async def feedback(self, ref: str, outcomes: Iterable[Mapping[str, Any]], *, wait: bool = False) -> dict[str, Any]:
        """See Client.feedback."""
        call = exchange.feedback(ref, outcomes, wait=wait)
        reply = await self._post(call)
        return exchange.taken(reply.status_code, reply.content)

    async def learn(
        self, ref: str, data: Any, outcomes: Iterable[Any], *, id: str | None = None, wait: bool = False
    ) -> dict[str, Any]:
        """See Client.learn."""
        call = exchange.learn(ref, await self.metadata(ref), data, outcomes, id, wait=wait)
        reply = await self._post(call)
        return exchange.taken(reply.status_code, reply.content)

    async def learning(self, ref: str) -> dict[str, Any]:
        """See Client.learning."""
        return await self._get(exchange.learning_path(ref))

    async def metadata(self, ref: str) -> dict[str, Any]:
        """See Client.metadata."""
        known = self._known.get(ref)
        if known is None:
            known = self._known[ref] = await self._get(exchange.model_path(ref))
        return known

    async def models(self) -> list[dict[str, Any]]:
        """Every model, its versions and their states."""
        with reaching(self._http.base_url):
            reply = await self._http.post("/v2/repository/index")
        if reply.status_code != 200:
            raise exchange.failure(reply.status_code, reply.content)
        return list(reply.json())

    async def ready(self) -> bool:
        """Whether all that the server should serve answers."""
        with reaching(self._http.base_url):
            return (await self._http.get("/v2/health/ready")).status_code == 200

    async def _post(self, call: exchange.Call) -> Any:
        with reaching(self._http.base_url):
            return await self._http.post(call.path, headers=call.headers, content=call.body)

    async def _get(self, path: str) -> dict[str, Any]:
        with reaching(self._http.base_url):
            reply = await self._http.get(path)
        if reply.status_code != 200:
            raise exchange.failure(reply.status_code, reply.content)
        return dict(reply.json())

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
