"""ByReward: a bandit before the versions of a name. It chooses for each row, by its inputs, which version answers.

The bandit is a model that is served beside them, and is asked in its own lane like any other: so what it chose, and how
likely that was, is on its way to its journal under the ids of the rows, where the rewards find it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from servable.domain.batch import Batch
from servable.domain.choosing import ACTION, PROPENSITY, Context
from servable.domain.record import ids_of
from servable.engine.request import Request
from servable.engine.routing.counts import RouteCounts
from servable.engine.serving import Serving
from servable.errors import ModelFailed, NotReady, ServableError


class ByReward:
    """`submit` is the way in. What the bandit cannot choose for is the live version's, and teaches nobody."""

    def __init__(
        self,
        bandit: str,
        live: Serving,
        arms: Mapping[str, Serving],
        find: Callable[[str], Serving | None],
        counts: RouteCounts,
    ) -> None:
        """`bandit` is its Ref, of which `find` gives what serves at the time; `arms` are the versions there are."""
        self._bandit = bandit
        self._live = live
        self._arms = arms
        self._find = find
        self._counts = counts
        self._takes: Context | None = None

    def _context(self, bandit: Serving) -> Context:
        """What the bandit that serves now takes: it may be another version than the last time."""
        if self._takes is None or self._takes.bandit is not bandit.signature:
            self._takes = Context(bandit.signature)
        return self._takes

    def submit(self, request: Request) -> None:
        """Have the bandit choose, and those that it chose answer."""
        bandit = self._find(self._bandit)
        known = None if bandit is None else self._context(bandit).of(request.batch)
        if bandit is None or known is None:
            self._by_live(request, NotReady.code)
            return
        done = partial(self._chosen, request, bandit)
        bandit.submit(Request(request.id, known, done, request.deadline, request.priority))

    def _chosen(self, request: Request, bandit: Serving, choice: Request) -> None:
        if request.over:
            return  # the caller went away meanwhile
        if choice.error is not None:
            self._by_live(request, choice.error.code)
            return
        chosen = choice.result()
        actions: list[str] = chosen[ACTION].reshape(-1).tolist()
        if any(action not in self._arms for action in actions):
            self._by_live(request, NotReady.code)
            return
        shares: list[float] = chosen[PROPENSITY].reshape(-1).tolist()
        one = request.rows == 1
        told = {
            "arm": actions[0] if one else actions,
            "propensity": shares[0] if one else shares,
            "chosen_by": f"{bandit.name}:{bandit.version}",
            **(chosen.parameters or {}),  # the offset up to which it has learned
        }
        if len(set(actions)) == 1:
            parts = [(self._arms[actions[0]], request.id, request.batch)]
        else:  # each row under its own id, as the records of the versions have it; they share calls all the same
            rows, ids = request.batch.split([1] * request.rows), ids_of(request.id, request.rows)
            parts = [(self._arms[action], id, row) for action, id, row in zip(actions, ids, rows, strict=True)]
        _Course(request, self._live, told, parts).go()

    def _by_live(self, request: Request, code: str) -> None:
        why = f"{self._bandit} {code}"
        self._counts.fallbacks[why] = self._counts.fallbacks.get(why, 0) + 1
        self._live.submit(request)


class _Course:
    """One request, whose rows are with the versions that were chosen."""

    def __init__(
        self, request: Request, live: Serving, told: Mapping[str, Any], parts: Sequence[tuple[Serving, str, Batch]]
    ) -> None:
        self._request = request
        self._live = live
        self._told = told
        self._asked = parts
        self._waits_for = len(parts)
        self._parts: list[Request] = []

    def go(self) -> None:
        request = self._request
        self._parts = [
            Request(id, batch, self._arrived, request.deadline, request.priority, request.arrived)
            for _, id, batch in self._asked
        ]
        for (serving, _, _), part in zip(self._asked, self._parts, strict=True):
            serving.submit(part)

    def _arrived(self, _: Request) -> None:
        self._waits_for -= 1
        if self._waits_for:
            return
        request, parts = self._request, self._parts
        request.queue_s, request.compute_s = parts[0].queue_s, max(part.compute_s for part in parts)
        request.fired = [fired for part in parts for fired in part.fired]
        try:
            answer = self._whole()
        except ServableError as error:
            request.finish(None, error)
        except ValueError:
            request.finish(None, ModelFailed("the answers of the versions that were chosen do not fit together"))
        else:
            if len(parts) == 1:
                request.by = parts[0].by or self._asked[0][0]
            request.finish(answer)

    def _whole(self) -> Batch:
        """The answer to all rows, in order. Raises what went wrong with any, ValueError for shapes that differ."""
        answers = [part.result() for part in self._parts]
        told = {key: value for one in answers for key, value in (one.parameters or {}).items()} | dict(self._told)
        columns = answers[0].columns
        if len(answers) > 1:
            names = [field.name for field in self._live.signature.outputs]
            columns = {name: np.concatenate([one[name] for one in answers]) for name in names}
        return Batch(columns, self._request.rows, told)
