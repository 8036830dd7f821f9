"""Client: asks a server and waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from servable.client import exchange, tables
from servable.client.reach import reaching
from servable.client.registered import Registered
from servable.errors import MissingExtra


class Client:
    """Keeps its connections open; may be shared by threads. `key` is an API key, where the server demands one.

    client = servable.Client("http://localhost:8080", key="...")
    client.predict("churn", frame)
    """

    def __init__(self, url: str, key: str | None = None, timeout_s: float = 30.0) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtra("client", "ask a server", missing="httpx") from error
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=exchange.base_url(url), headers=headers, timeout=timeout_s)
        self._known: dict[str, dict[str, Any]] = {}
        self.registry = Registered(self._http)
        """The server's registry: versions, aliases, tags, verdicts."""

    def predict(self, ref: str, data: Any, *, id: str | None = None, timeout_s: float | None = None) -> Any:
        """The model's answer: for a DataFrame a DataFrame, as `servable.load` gives it; for rows (a list of
        `{column: value}`), a matrix or arrays by input name, arrays by output name.

        Raises the ServableError that the server tells (InvalidInput, NotFound, Overloaded…), Unavailable where it
        cannot be reached.
        """
        metadata = self.metadata(ref)
        call = exchange.request(ref, metadata, data, id, timeout_s)
        reply = self._post(call)
        outputs = exchange.answer(reply.status_code, reply.headers, reply.content)
        return tables.frame_of(outputs, data.index, metadata) if hasattr(data, "columns") else outputs

    def lookup(self, table: str, keys: Any, rows: Any = None) -> dict[str, Any]:
        """The answers of a table of bulk predictions: `rows`, one for each key in its order, None for a miss; with them
        the model's version, the generation, its age in seconds and whether it is `stale`.

        `rows` are the inputs of each key, for a table that computes what it lacks. Raises NotFound for no such table.
        """
        call = exchange.lookup(table, keys, rows)
        reply = self._post(call)
        return exchange.looked_up(reply.status_code, reply.content)

    def feedback(self, ref: str, outcomes: Iterable[Mapping[str, Any]], *, wait: bool = False) -> dict[str, Any]:
        """Tell what became of predictions: `{"id", "outcome"}` each, and its `time` and `version` (of corrections), if
        there are. They are on the server's disk when this returns; told again they change nothing. `wait`, for a model
        that learns: until it answers with them.
        """
        call = exchange.feedback(ref, outcomes, wait=wait)
        reply = self._post(call)
        return exchange.taken(reply.status_code, reply.content)

    def learn(
        self, ref: str, data: Any, outcomes: Iterable[Any], *, id: str | None = None, wait: bool = False
    ) -> dict[str, Any]:
        """Teach a model that learns: rows as `predict` takes them, and an outcome for each. They are on the server's
        disk when this returns; sent again with the same `id` they count once. `wait`: until it answers with them.

        Raises the ServableError that the server tells: TooMany where learning falls behind, with `retry_after_s`.
        """
        call = exchange.learn(ref, self.metadata(ref), data, outcomes, id, wait=wait)
        reply = self._post(call)
        return exchange.taken(reply.status_code, reply.content)

    def learning(self, ref: str) -> dict[str, Any]:
        """How far a model has learned, how well, and who answers."""
        return self._get(exchange.learning_path(ref))

    def metadata(self, ref: str) -> dict[str, Any]:
        """What the server tells of a model: inputs, outputs, versions. Asked once for each Ref."""
        known = self._known.get(ref)
        if known is None:
            known = self._known[ref] = self._get(exchange.model_path(ref))
        return known

    def models(self) -> list[dict[str, Any]]:
        """Every model, its versions and their states."""
        with reaching(self._http.base_url):
            reply = self._http.post("/v2/repository/index")
        if reply.status_code != 200:
            raise exchange.failure(reply.status_code, reply.content)
        return list(reply.json())

    def ready(self) -> bool:
        """Whether all that the server should serve answers."""
        with reaching(self._http.base_url):
            return self._http.get("/v2/health/ready").status_code == 200

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, call: exchange.Call) -> Any:
        with reaching(self._http.base_url):
            return self._http.post(call.path, headers=call.headers, content=call.body)

    def _get(self, path: str) -> dict[str, Any]:
        with reaching(self._http.base_url):
            reply = self._http.get(path)
        if reply.status_code != 200:
            raise exchange.failure(reply.status_code, reply.content)
        return dict(reply.json())
