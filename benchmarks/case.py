"""Case: a model, rows to send it, and the numbers that a right answer holds, from onnxruntime in this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from benchmarks import models
from benchmarks.peers.apps.onnx import session

Array = np.ndarray[Any, np.dtype[Any]]
DISTINCT: Final = 64
"""Different requests that are sent in turn, so that no answer can be right by standing still."""


@dataclass(frozen=True)
class Case:
    """`parts` are the inputs of the distinct requests, `expected` their outputs by name."""

    model: Path
    source: str
    parts: tuple[Array, ...]
    expected: tuple[dict[str, Array], ...]

    def verify(self, index: int, answer: Mapping[str, Any]) -> None:
        """Raise WrongAnswer unless each output that came is the one expected, to float32's precision."""
        for name, expected in self.expected[index].items():
            if name not in answer:
                raise WrongAnswer(f"output {name!r} is absent from the answer; it holds {sorted(answer)}")
            got = np.asarray(answer[name], dtype=np.float64).reshape(expected.shape)
            if not np.allclose(got, expected, rtol=1e-4, atol=1e-6):
                raise WrongAnswer(f"request {index}: {name} should be {expected.tolist()}, got {got.tolist()}")


class WrongAnswer(Exception):
    """A server answered something else than the model does."""


def trees_case(rows: int = 1) -> Case:
    """Breast-cancer rows for the trees, `rows` a request."""
    from sklearn.datasets import load_breast_cancer

    x = load_breast_cancer().data.astype(np.float32)
    return _case(models.trees(), "x", [x.take(range(i, i + rows), axis=0, mode="wrap") for i in range(DISTINCT)])


def dense_case() -> Case:
    """Standard normal rows for the dense network."""
    return _case(models.dense(), "x", _normal_rows())


def large_case() -> Case:
    """The same rows for the one of 400 MB."""
    return _case(models.large(), "x", _normal_rows())


def _normal_rows() -> list[Array]:
    return list(np.random.default_rng(1).standard_normal((DISTINCT, 1, 30)).astype(np.float32))


def mobile_case() -> Case:
    """Images of 3 x 32 x 32 bytes scaled to 0..1, as a picture would be, for the MobileNet."""
    image = np.random.default_rng(1).integers(0, 256, (DISTINCT, 1, 3, 32, 32))
    return _case(models.mobile(), "image", list((image / 255).round(4).astype(np.float32)))


def in_process(case: Case, rows: int, seconds: float, core: int) -> float:
    """Rows a second of plain onnxruntime on one core, `rows` a call: no network, no server."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        loaded = session(str(case.model))
        batch = {case.source: np.concatenate([case.parts[i % DISTINCT] for i in range(rows)])}
        loaded.run(None, batch)
        calls, start = 0, perf_counter()
        while (spent := perf_counter() - start) < seconds:
            loaded.run(None, batch)
            calls += 1
        return calls * rows / spent
    finally:
        os.sched_setaffinity(0, before)


def _case(model: Path, source: str, parts: list[Array]) -> Case:
    loaded = session(str(model))
    names = [output.name for output in loaded.get_outputs()]
    expected = [dict(zip(names, loaded.run(None, {source: part}), strict=True)) for part in parts]
    return Case(model, source, tuple(parts), tuple(expected))
