"""Pages: the metrics, the contract, and a page to try it in.

The page is one file, needs nothing from elsewhere, and holds no data: it asks for the contract, with the key that its
reader gives it. So a browser gets it without a key too.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from servable.domain.endpoint import Endpoint
from servable.server.http.exposition import CONTENT_TYPE
from servable.server.http.guard import caller_of
from servable.server.http.metrics import render
from servable.server.http.openapi import contract
from servable.server.http.parts import Handlers, Parts
from servable.server.http.replies import reply
from servable.wire import tensorflow_v1
from servable.wire.openai import CHAT, COMPLETION
from servable.wire.openai_embeddings import EMBEDDINGS, vectors_of


def handlers(parts: Parts, endpoints: Sequence[Endpoint]) -> Handlers:
    """The handlers of the table PAGES. `endpoints` are all that the contract tells of."""

    async def metrics(request: Request) -> Response:
        caller = caller_of(request)
        doors = [
            {**door, "models": [model for model in door["models"] if caller.sees(model["name"])]}
            for door in await parts.doors()
        ]
        return Response(render(doors), headers={"content-type": CONTENT_TYPE})

    async def openapi(request: Request) -> Response:
        caller = caller_of(request)
        bodies: dict[str, dict[str, Any]] = {
            name: {} for name in ("InferRequest", "PredictRequest", "Completion", "Chat", "Embeddings")
        }
        for name in sorted(parts.host.table):
            if caller.sees(name):
                serving = parts.router.pick(name)
                bodies["InferRequest"][name] = serving.codec.example()
                bodies["PredictRequest"][name] = tensorflow_v1.example(serving.signature)
                if serving.generations is not None:
                    bodies["Completion"][name] = COMPLETION | {"model": name}
                    bodies["Chat"][name] = CHAT | {"model": name}
                if vectors_of(serving.signature) is not None:
                    bodies["Embeddings"][name] = EMBEDDINGS | {"model": name}
        return reply(contract(endpoints, bodies))

    async def docs(_: Request) -> Response:
        return page()

    async def home(_: Request) -> Response:
        return RedirectResponse("/docs")

    return {"metrics": metrics, "openapi": openapi, "docs": docs, "home": home}


def page(status: int = 200) -> Response:
    """The page. Its own script and style may run, and nothing else."""
    text, policy = _page()
    return Response(text, status, {"content-security-policy": policy}, "text/html")


@cache
def _page() -> tuple[str, str]:
    """The page and the Content-Security-Policy that names its script and style by their digests."""
    text = (files("servable.server.http") / "docs.html").read_text(encoding="utf-8")
    sources = []
    for kind in ("script", "style"):
        (inline,) = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        sources.append(f"{kind}-src 'sha256-{digest}'")
    policy = f"default-src 'none'; {'; '.join(sources)}; connect-src 'self'; base-uri 'none'; form-action 'none'"
    return text, f"{policy}; frame-ancestors 'none'"
