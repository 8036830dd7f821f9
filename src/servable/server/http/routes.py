"""ROUTES: every route of the REST door itself, the role it demands, and what it takes and gives.

One table, read three times: `rest.py` builds the routes from it, the guard refuses what is not in it, `openapi.py`
writes the contract from it.

A shelf that answers over HTTP brings rows of its own (`domain/endpoint.py` says what a row is). Only the three routes
that are OPEN answer without a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final, Literal

from servable.domain.endpoint import ANY, OPEN, Endpoint, Role

LIKE: Final = 0.6
"""How alike a path and a template must be for the one to have been meant as the other, of 1."""


def get(role: Role | Literal["open"], path: str, name: str, summary: str, answer: str = "Object") -> Endpoint:
    """A row that reads."""
    return Endpoint("GET", path, role, name, summary, "", answer)


def post(role: Role, path: str, name: str, summary: str, body: str = ANY, answer: str = "Object") -> Endpoint:
    """A row that computes or changes."""
    return Endpoint("POST", path, role, name, summary, body, answer)


def versioned(*rows: Endpoint, labels: bool = False) -> tuple[Endpoint, ...]:
    """Rows, and the same for a version (or alias); with `labels` also as TensorFlow names an alias."""
    ways = [("", ""), ("/versions/{version}", "_version"), ("/labels/{version}", "_label")][: 3 if labels else 2]
    return tuple(
        row._replace(path=row.path.replace("{model}", "{model}" + way), name=row.name + suffix)
        for row in rows
        for way, suffix in ways
    )


V2: Final = (
    get("viewer", "/v2", "server_metadata", "What this server is, and which extensions it speaks", "Server"),
    get("viewer", "/v2/", "server_metadata_slash", "The same, as some clients ask", "Server"),
    get(OPEN, "/v2/health/live", "live", "Whether the process turns", "Live"),
    get(OPEN, "/v2/health/ready", "ready", "Whether every required model answers; 503 if not", "Ready"),
    get("viewer", "/v2/models/stats", "all_statistics", "Statistics of every version", "Statistics"),
    *versioned(
        get("viewer", "/v2/models/{model}", "metadata", "Inputs and outputs", "Metadata"),
        get("viewer", "/v2/models/{model}/ready", "model_ready", "Whether it answers; 503 if not", "Ready"),
        get("viewer", "/v2/models/{model}/config", "config", "Triton's model configuration"),
        get("viewer", "/v2/models/{model}/stats", "statistics", "Requests, times, batches", "Statistics"),
        post("invoker", "/v2/models/{model}/infer", "infer", "A prediction", "InferRequest", "InferResponse"),
    ),
)

REPOSITORY: Final = (
    post("viewer", "/v2/repository/index", "index", "All versions and their states", "IndexRequest", "Index"),
    post("deployer", "/v2/repository/models/{model}/load", "load", "Load, or load anew", "LoadRequest", "Index"),
    post("deployer", "/v2/repository/models/{model}/unload", "unload", "Unload", "LoadRequest", "Index"),
    post("viewer", "/v2/repository/{repository}/index", "no_repository", "Named repositories: not offered"),
    post("deployer", "/v2/repository/{repository}/models/{model}/{act}", "no_repository_act", "Not offered either"),
)

TRITON: Final = (
    get("viewer", "/v2/trace/setting", "tracing", "What is traced: nothing"),
    get("viewer", "/v2/models/{model}/trace/setting", "model_tracing", "The same"),
    post("admin", "/v2/trace/setting", "set_tracing", "Not offered"),
    post("admin", "/v2/models/{model}/trace/setting", "set_model_tracing", "Not offered"),
    get("viewer", "/v2/logging", "logging", "What is logged"),
    post("admin", "/v2/logging", "set_logging", "Not offered: set when the server starts"),
    *(
        row._replace(path=row.path.replace("KIND", kind), name=f"{kind}_{row.name}")
        for kind in ("system", "cuda")
        for row in (
            get("viewer", "/v2/KINDsharedmemory/status", "regions", "Shared memory: none", "Empty"),
            get(
                "viewer", "/v2/KINDsharedmemory/region/{region}/status", "region", "One region: there are none", "Empty"
            ),
            post("admin", "/v2/KINDsharedmemory/region/{region}/register", "register", "Not offered"),
            post("admin", "/v2/KINDsharedmemory/unregister", "unregister_all", "Forget all regions: there are none"),
            post(
                "admin", "/v2/KINDsharedmemory/region/{region}/unregister", "unregister", "Forget one: there are none"
            ),
        )
    ),
)

V1: Final = (
    get("viewer", "/v1/models", "list_models", "Names of all models", "ModelList"),
    *versioned(
        get("viewer", "/v1/models/{model}", "status", "Versions and their states", "Status"),
        get("viewer", "/v1/models/{model}/metadata", "v1_metadata", "Signature, as TensorFlow has it"),
        post("invoker", "/v1/models/{model}:predict", "predict", "A prediction", "PredictRequest", "PredictResponse"),
        post("invoker", "/v1/models/{model}:classify", "classify", "Not offered: tf.Example"),
        post("invoker", "/v1/models/{model}:regress", "regress", "Not offered: tf.Example"),
        labels=True,
    ),
)

OPENAI: Final = (
    post("invoker", "/v1/completions", "completions", "A text continued, whole or streamed", "Completion", "Generated"),
    post("invoker", "/v1/chat/completions", "chat_completions", "A chat answered, or streamed", "Chat", "Generated"),
    post("invoker", "/v1/embeddings", "embeddings", "A vector for each text", "Embeddings", "Vectors"),
)

PLATFORMS: Final = (
    get(OPEN, "/ping", "ping", "SageMaker's and MLflow's health check; 503 if not ready", "Text"),
    post("invoker", "/invocations", "invocations", "A prediction, as they ask for it", "Invocation", "Predictions"),
)

PAGES: Final = (
    get("viewer", "/metrics", "metrics", "Prometheus metrics of all doors", "Text"),
    get("viewer", "/openapi.json", "openapi", "This contract"),
    get("viewer", "/docs", "docs", "A page to try it", "Page"),
    get("viewer", "/", "home", "Leads to the page", "Redirect"),
)

ROUTES: Final = (*V2, *REPOSITORY, *TRITON, *V1, *OPENAI, *PLATFORMS, *PAGES)


def near(path: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known templates that a path may have been meant to be, likeliest first. Compared segment by segment.

    >>> near("/v2/model/iris/infer", by_path(ROUTES))[0]
    '/v2/models/{model}/infer'
    """
    segments = path.strip("/").split("/")

    def likeness(template: str) -> float:
        wanted = template.strip("/").split("/")
        pairs = zip(segments, wanted, strict=False)
        alike = sum(0.5 if "{" in want else SequenceMatcher(None, got, want).ratio() for got, want in pairs)
        return alike / max(len(segments), len(wanted))

    ranked = sorted(((likeness(template), template) for template in known), key=lambda pair: (-pair[0], pair[1]))
    return [template for score, template in ranked[:most] if score >= LIKE]


def by_path(endpoints: Iterable[Endpoint]) -> dict[str, dict[str, Endpoint]]:
    """Path to method to Endpoint. Raises ValueError where two rows claim the same method of a path."""
    table: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        methods = table.setdefault(endpoint.path, {})
        if endpoint.method in methods:
            raise ValueError(f"{endpoint.method} {endpoint.path} is in the table twice")
        methods[endpoint.method] = endpoint
    return table
