"""Naming: a model that chooses at random asks for the id of each prediction as one of its inputs, and is given it here.

So what it draws is a function of its inputs: the same request gives the same choice, here and in a replay.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from servable.domain.batch import Batch
from servable.domain.record import ids_of
from servable.domain.signature import Signature
from servable.engine.request import Request

Submit = Callable[[Request], None]


def naming(signature: Signature, submit: Submit) -> Submit:
    """A way in that fills the input with `content="id"` where the caller left it out; the same, if there is none."""
    name = next((field.name for field in signature.inputs if field.content == "id"), None)
    if name is None:
        return submit

    def named(request: Request) -> None:
        request.batch = with_ids(request.batch, name, request.id)
        submit(request)

    return named


def with_ids(batch: Batch, name: str, id: str) -> Batch:
    """The batch with the ids of its rows under this name, where there are none.

    >>> with_ids(Batch({"key": np.array([None, "mine"], object)}), "key", "request")["key"].tolist()
    ['request/0', 'mine']
    """
    told = batch.columns.get(name)
    ids: list[object] = list(ids_of(id, batch.rows))
    if told is not None:
        ids = [own if one is None else one for one, own in zip(told.reshape(-1).tolist(), ids, strict=True)]
    return Batch({**batch.columns, name: np.array(ids, object)}, batch.rows, batch.parameters)
