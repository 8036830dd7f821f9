"""What tables answer over gRPC: the same look-up, by a service of our own (proto/tables.proto)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from servable.errors import InvalidInput
from servable.offline.lookup import Asked, Lookup
from servable.wire.generated import tables_pb2 as pb

SERVICE: Final = "servable.v1.Tables"


class LookupCall:
    """Answers `Lookup`. `permit` is given the caller and the name of a model; it raises Forbidden."""

    def __init__(self, lookup: Lookup, permit: Callable[[Any, str], None]) -> None:
        self._lookup = lookup
        self._permit = permit

    async def answer(self, request: pb.LookupRequest, caller: Any) -> pb.LookupResponse:
        """Raises NotFound, InvalidInput, Forbidden."""
        document: dict[str, Any] = {"keys": list(request.keys)}
        if request.inputs:
            try:
                document["rows"] = [orjson.loads(text) if text else None for text in request.inputs]
            except orjson.JSONDecodeError as error:
                raise InvalidInput(f"inputs: expected JSON objects: {error}") from error
        asked = Asked.read(orjson.dumps(document))
        body = await self._lookup.many(request.table, asked, lambda model: self._permit(caller, model))
        told = orjson.loads(body)
        rows = [pb.Row(found=row is not None, outputs="" if row is None else orjson.dumps(row).decode())
                for row in told.pop("rows")]  # fmt: skip
        return pb.LookupResponse(rows=rows, **told)
