"""What tables answer over gRPC: the same look-up, by a service of our own (proto/tables.proto)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from servable.errors import InvalidInput
from servable.offline.asked import Asked
from servable.offline.lookup import NOTHING, Lookup
from servable.wire.generated import tables_pb2 as pb

SERVICE: Final = "servable.v1.Tables"


class LookupCall:
    """Answers `Lookup`. `permit` is given the caller and the name of a model; it raises Forbidden."""

    def __init__(self, lookup: Lookup, permit: Callable[[Any, str], None]) -> None:
        self._lookup = lookup
        self._permit = permit

    async def answer(self, request: pb.LookupRequest, caller: Any) -> pb.LookupResponse:
        """Raises NotFound, InvalidInput, Forbidden."""
        inputs = None
        if request.inputs:
            try:
                inputs = [orjson.loads(text) if text else None for text in request.inputs]
            except orjson.JSONDecodeError as error:
                raise InvalidInput(f"inputs: expected JSON objects: {error}") from error
        asked = Asked.of(list(request.keys), inputs)
        answers = await self._lookup.many(request.table, asked, lambda model: self._permit(caller, model))
        rows = [pb.Row() if row is NOTHING else pb.Row(found=True, outputs=row.decode()) for row in answers.rows]
        return pb.LookupResponse(rows=rows, **orjson.loads(answers.head + b"}"))
