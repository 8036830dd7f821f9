"""A worker: `python -m servable.offline.worker`. The job starts it; orders come on standard input, reports go out.

It dies with its job: when standard input ends there is nobody to work for. A part that is half done leaves nothing.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

import msgspec

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.problem import Problem
from servable.engine.plan import Target
from servable.errors import ServableError
from servable.offline.order import Failed, Order, Part, Ready, Scored

_encode = msgspec.json.Encoder().encode


def main() -> int:
    """Load, say so, and do one part after another."""
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a model's library may print: that must not look like a report
    orders = sys.stdin.buffer
    gc.disable()  # nothing of what is loaded is let go of
    import_ahead()
    first = orders.readline()
    if not first:
        return 0
    order = msgspec.json.decode(first, type=Order)
    try:
        with contextlib.ExitStack() as held:
            from servable.offline.scorer import Scorer
            from servable.rules.whole import Answered

            @cache
            def once(target: Target) -> tuple[Model, Bundle]:
                return held.enter_context(loaded(target, Path(order.environments)))

            def hand_over(ref: str, batch: Batch) -> Answered:
                target = order.fallbacks[ref]
                return Answered(once(target)[0].predict(batch), f"{target.name}:{target.version}")

            scorer = Scorer(order, *once(order.target), hand_over)
            gc.freeze()
            gc.enable()
            _report(reports, Ready())
            for line in orders:
                _report(reports, scorer.score(msgspec.json.decode(line, type=Part)))
    except ServableError as error:
        _report(reports, Failed(Problem.of(error)))
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the wall: a model or a library may raise anything
        _report(reports, Failed(Problem(ServableError.code, f"{type(error).__name__}: {error}")))
    return 0


def import_ahead() -> None:
    """What every order needs, while it is not there yet. What is lacking is told when it is needed."""
    with contextlib.suppress(ImportError):
        for name in ("pyarrow.parquet", "servable.bundles.open_model", "servable.offline.scorer"):
            importlib.import_module(name)


@contextlib.contextmanager
def loaded(target: Target, environments: Path) -> Iterator[tuple[Model, Bundle]]:
    """The model: here if it is data, else in a sandboxed process of its own, with the libraries that it names."""
    from servable.bundles.open_model import open_model

    opened = open_model(Path(target.source), environments, name=target.name, digest=target.digest)
    try:
        yield opened.model, opened.bundle
    finally:
        opened.model.close()


def _report(reports: IO[bytes], report: Ready | Scored | Failed) -> None:
    reports.write(_encode(report) + b"\n")


if __name__ == "__main__":
    ended = main()
    sys.stderr.flush()
    os._exit(ended)  # all that has to be closed is: taking the interpreter apart would take a fifth of a second
