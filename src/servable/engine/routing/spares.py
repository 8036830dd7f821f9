"""Spares: what answers in the place of a version that fails, is too late, or is left alone: other versions, a value.

The answer says so: its parameters name who gave it (`fallback`) and why (`fallback_reason`), and the doors answer in
its name and version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from servable.domain.batch import Batch
from servable.domain.contract import handed
from servable.domain.datatypes import DTYPES
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.engine.request import Request
from servable.engine.routing.counts import RouteCounts
from servable.engine.serving import Serving
from servable.errors import DeadlineExceeded, InvalidInput, ModelFailed, ServableError, Unavailable

EXCUSES: Final = (ModelFailed, Unavailable, DeadlineExceeded)
"""Failures of ours, not of the request: these are answered by a spare."""
LEAST_S: Final = 0.05
CALLS: Final = 4
"""The time that is kept for a spare: that of so many of its calls, and at least this much, as lanes look at deadlines
every now and then only; at most half of all.
"""

Done = Callable[[Request], None]


class Spares:
    """Those of one version, in the order in which they are asked. `find` gives them at the time they are needed."""

    def __init__(
        self, asked: Serving, find: Callable[[], Sequence[Serving]], value: Mapping[str, Any], counts: RouteCounts
    ) -> None:
        self._asked = asked
        self._find = find
        self._value = one_row(value, asked.signature) if value else None
        self._counts = counts

    def stand_by(self, request: Request) -> None:
        """Look after this request, which is about to be submitted."""
        spares = self._find()
        request.on_done = partial(self._over, request.on_done, spares, request.deadline)
        if spares:
            allowed = request.deadline - request.arrived
            needed = max(CALLS * spares[0].lane.curve.seconds(min(request.rows, spares[0].lane.cap)), LEAST_S)
            request.deadline -= min(needed, allowed / 2)

    def _over(self, on_done: Done, spares: Sequence[Serving], deadline: float, request: Request) -> None:
        error = request.error
        if error is None or not isinstance(error, EXCUSES):
            on_done(request)
            return
        request.over = False  # it goes on, and can be cancelled again
        request.deadline = deadline
        self._next(request, on_done, list(spares), error)

    def _next(self, request: Request, on_done: Done, spares: list[Serving], error: ServableError) -> None:
        """Ask the next spare whose contract holds for these rows; after the last, the value; or it has failed."""
        while spares:
            spare = spares.pop(0)
            batch = handed(request.batch, spare.signature)
            if batch is not None:
                done = partial(self._answered, request, on_done, spares, error, spare)
                spare.submit(Request(request.id, batch, done, request.deadline, request.priority))
                return
        if self._value is not None:
            answer = repeated(self._value, request.rows)
            self._finish(request, on_done, answer, self._asked, error)
            return
        request.over = True
        on_done(request)

    def _answered(
        self,
        request: Request,
        on_done: Done,
        spares: list[Serving],
        error: ServableError,
        spare: Serving,
        second: Request,
    ) -> None:
        if request.over:
            return  # the caller went away meanwhile
        if second.answer is None:
            self._next(request, on_done, spares, error)
        else:
            self._finish(request, on_done, second.result(), spare, error)

    def _finish(self, request: Request, on_done: Done, answer: Batch, by: Serving, error: ServableError) -> None:
        why = f"{self._asked.version} {error.code}"
        self._counts.fallbacks[why] = self._counts.fallbacks.get(why, 0) + 1
        told = {
            "fallback": f"{by.name}:{by.version}" if by is not self._asked else "value",
            "fallback_reason": error.code,
        }
        request.answer = Batch(answer.columns, answer.rows, {**(answer.parameters or {}), **told})
        request.start = 0
        request.error = None
        request.by = by
        request.over = True
        on_done(request)


def answerer(asked: Serving, answer: Batch) -> dict[str, str]:
    """Who answered, by name and version, as JSON tells it: the version that was asked, or that a bandit chose; or the
    one that stood in.
    """
    told = answer.parameters or {}
    name, _, version = told.get("fallback", "").partition(":")
    arm = told.get("arm")
    chosen = arm if isinstance(arm, str) else asked.version
    return {"model_name": name if version else asked.name, "model_version": version or chosen}


def one_row(value: Mapping[str, Any], signature: Signature) -> Batch:
    """A value for each output as one row of an answer. Raises InvalidInput that tells every fault."""
    outputs = {field.name: field for field in signature.outputs}
    faults = [f"{name!r}: there is no such output (there are: {', '.join(outputs)})" for name in value.keys() - outputs]
    columns = {}
    for name, field in outputs.items():
        try:
            columns[name] = _array(value[name], field)
        except KeyError:
            faults.append(f"{name!r}: expected a value, got none")
        except (TypeError, ValueError, OverflowError):
            faults.append(f"{name!r}: expected {field.describe()}, got {value[name]!r:.80}")
    if faults:
        raise InvalidInput(f"a value to fall back to does not fit the outputs: {'; '.join(faults)}", faults=faults)
    return Batch(columns, 1)


def _array(value: Any, field: Field) -> np.ndarray[Any, Any]:
    shape = tuple(max(size, 1) for size in field.shape[1:])
    array = np.empty((1, *shape), DTYPES[field.datatype])
    array[...] = np.asarray(value, object if array.dtype == object else None)
    return array


def repeated(row: Batch, rows: int) -> Batch:
    """The same row so many times, without a copy of it."""
    columns = {name: np.ascontiguousarray(np.repeat(array, rows, 0)) for name, array in row.columns.items()}
    return Batch(columns, rows)
