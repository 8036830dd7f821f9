"""Parts: what the handlers of ordinary HTTP routes work with, each given by whoever builds the door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from servable.domain.endpoint import Endpoint
from servable.engine.host import Host
from servable.engine.router import Router
from servable.server.access.access import Access
from servable.server.http.infer import Inference
from servable.server.repository import Repository
from servable.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]
Handlers = dict[str, Handler]
"""By the name that the table of routes gives each."""

BodyHandler = Callable[[Request, bytes], Awaitable[Response]]
"""A shelf's handler: it is given the body too, whole, unpacked and within the limits."""


class Offer(NamedTuple):
    """One row of what a shelf answers over HTTP, and what answers it. The handler raises ServableErrors."""

    endpoint: Endpoint
    handler: BodyHandler


class Parts(NamedTuple):
    """`doors` asks every door of the server what it has done, this one too: see `report.py`."""

    router: Router
    host: Host
    access: Access
    repository: Repository
    inference: Inference
    settings: Settings
    doors: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
