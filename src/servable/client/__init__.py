"""The Python SDK: ask a running server, in the same words as a model in hand. Needs domain, wire and errors only."""

from __future__ import annotations

from servable.client.asynchronous import AsyncClient
from servable.client.synchronous import Client

__all__ = ["AsyncClient", "Client"]
