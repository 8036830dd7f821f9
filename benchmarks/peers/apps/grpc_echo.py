"""A bare grpc.aio server that answers with the bytes it got.

Run with  python -m benchmarks.peers.apps.grpc_echo PORT [uvloop]
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc


async def echo(request: bytes, context: Any) -> bytes:
    """No parsing, no model: what grpc.aio itself costs."""
    del context
    return request


async def serve(port: int) -> None:
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.run(serve(int(sys.argv[1])))
    else:
        asyncio.run(serve(int(sys.argv[1])))
