"""The contract of the REST door, as OpenAPI 3.1: written from the table of routes, so that neither lacks the other's.

Served live, each prediction route carries an example for each model, that works as it stands. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from servable.domain.endpoint import ANY, OPEN, Endpoint
from servable.domain.ref import NAME
from servable.server.http.schemas import BINARY, SCHEMAS
from servable.version import __version__

VERSION: Final = "3.1.0"

ERRORS: Final = (400, 401, 403, 404, 405, 408, 413, 415, 422, 431, 500, 501, 503, 504)
"""Every status that an error of ours can have on any route; their bodies have one shape."""

OPENAI: Final = "OpenAI"
OPENAI_ERROR: Final = "OpenAIError"

TAGS: Final = {
    "/v2/health": "health",
    "/ping": "health",
    "/v2/repository": "repository",
    "/v2/models": "models",
    "/v1/completions": OPENAI,
    "/v1/chat": OPENAI,
    "/v1/embeddings": OPENAI,
    "/v1": "TensorFlow Serving and KServe V1",
    "/invocations": "SageMaker and MLflow",
}

MEDIA: Final = {
    "InferRequest": ("application/json", "application/octet-stream"),
    "InferResponse": ("application/json", "application/octet-stream"),
    "Invocation": ("application/json", "text/csv"),
    "Predictions": ("application/json", "text/csv"),
    "Generated": ("application/json", "text/event-stream"),
    "Text": ("text/plain",),
    "Page": ("text/html",),
}
"""Content types of a body or answer; JSON where nothing is said."""

OPTIONAL: Final = frozenset({ANY, "IndexRequest", "LoadRequest"})
"""Bodies that may be left out."""

DESCRIPTION: Final = """\
Predictions over the Open Inference Protocol (V2), TensorFlow Serving's and KServe's V1, and SageMaker's and MLflow's
`/invocations`; texts and embeddings as OpenAI has them. Versions may be given by number or by alias. Every error is
`{"error", "code", ...}`; one that concerns a request's body lists every fault of it and shows a body that works. Where
keys are demanded, send `Authorization: Bearer KEY`.
"""

Examples = Mapping[str, Mapping[str, Any]]
"""Schema name to model name to a body that works."""


def contract(endpoints: Iterable[Endpoint], examples: Examples | None = None) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, examples or {})
    return {
        "openapi": VERSION,
        "info": {"title": "Servable", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {
                name: {
                    "description": "What is wrong, and what to do",
                    "content": {"application/json": {"schema": _ref(name)}},
                }
                for name in ("Error", OPENAI_ERROR)
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, examples: Examples) -> dict[str, Any]:
    tag = next((tag for start, tag in TAGS.items() if endpoint.path.startswith(start)), "server")
    error = OPENAI_ERROR if tag == OPENAI else "Error"
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [tag],
        "x-role": endpoint.role,
        "security": [] if endpoint.role == OPEN else [{"key": []}, {}],
        "responses": _success(endpoint)
        | {str(status): {"$ref": f"#/components/responses/{error}"} for status in ERRORS},
    }
    names = re.findall(r"\{(\w+)\}", endpoint.path)
    if names:
        models = sorted({model for bodies in examples.values() for model in bodies})
        operation["parameters"] = [_parameter(name, models) for name in names]
    if endpoint.body:
        operation["requestBody"] = {
            "required": endpoint.body not in OPTIONAL,
            "content": {
                media: _content(endpoint.body, media, examples.get(endpoint.body, {}))
                for media in MEDIA.get(endpoint.body, ("application/json",))
            },
        }
    return operation


def _success(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.answer == "Redirect":
        return {"307": {"description": "Leads to /docs", "headers": {"location": {"schema": {"type": "string"}}}}}
    content = {
        media: _content(endpoint.answer, media, {}) for media in MEDIA.get(endpoint.answer, ("application/json",))
    }
    return {"200": {"description": HTTPStatus.OK.phrase, "content": content}}


def _content(schema: str, media: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    if media == "application/octet-stream":
        return {"schema": BINARY}
    if media.startswith("text/"):
        return {"schema": {"type": "string"}}
    content: dict[str, Any] = {"schema": {} if schema == ANY else _ref(schema)}
    if examples:
        content["examples"] = {model: {"value": value} for model, value in examples.items()}
    return content


def _parameter(name: str, models: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "pattern": f"^{NAME.pattern}$"}
    if name == "model" and models:
        schema["examples"] = models
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
