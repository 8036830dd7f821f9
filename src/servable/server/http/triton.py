"""Triton's further routes: trace and log settings, shared memory. Clients ask for them; the honest answer is short."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from servable.errors import NotFound, Unsupported
from servable.server.http.parts import Handlers, Parts
from servable.server.http.replies import reply

TRACING: Final = {
    "trace_file": "",
    "trace_level": ["OFF"],
    "trace_rate": "0",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_mode": "triton",
}
"""Triton's trace settings, of a server that does not trace."""


def handlers(parts: Parts) -> Handlers:
    """The handlers of the table TRITON."""
    settings = parts.settings

    async def logging(_: Request) -> Response:
        levels = ("debug", "info", "warning", "error")
        level = levels.index(settings.log_level)
        return reply(
            {
                "log_file": "",
                **{f"log_{name}": level <= levels.index(name) for name in levels[1:]},
                "log_verbose_level": int(level == 0),
                "log_format": "ISO8601" if settings.log_format == "json" else "default",
            }
        )

    memory: Handlers = {
        "regions": _no_regions,
        "region": _no_region,
        "register": _no_shared_memory,
        "unregister": _forgotten,
        "unregister_all": _forgotten,
    }
    return {
        "logging": logging,
        "set_logging": _no_logging,
        "tracing": _tracing,
        "model_tracing": _tracing,
        "set_tracing": _no_tracing,
        "set_model_tracing": _no_tracing,
        **{f"{kind}_{name}": handler for name, handler in memory.items() for kind in ("system", "cuda")},
    }


async def _tracing(_: Request) -> Response:
    return reply(TRACING)


async def _no_tracing(_: Request) -> Response:
    raise Unsupported("tracing is not offered: /metrics and the log tell what each model does")


async def _no_logging(_: Request) -> Response:
    raise Unsupported("what is logged is set when the server starts: --log-level, --log-format")


async def _no_regions(_: Request) -> Response:
    return reply([])


async def _no_region(request: Request) -> Response:
    raise NotFound(f"no shared memory region {request.path_params['region'][:80]!r}: clients share no memory with us")


async def _no_shared_memory(_: Request) -> Response:
    raise Unsupported("clients share no memory with this server: send tensors in the body, as JSON or binary data")


async def _forgotten(_: Request) -> Response:
    return reply({})
