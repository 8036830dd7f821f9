"""A runtime that computes nothing: the trees' contract, always the same answer. For the door's own rate.

This folder on PYTHONPATH is an installed package, as far as entry points are concerned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature

MARK = b"servable benchmark: constant answer\n"
ROWS = 4096
SIGNATURE = Signature(
    (Field("x", "FP32", (-1, 30)),),
    (Field("label", "INT64", (-1,)), Field("probabilities", "FP32", (-1, 2))),
)


class ConstantRuntime:
    name = "constant"
    platform = "benchmark_constant"
    isolated = False

    def recognises(self, path: Path, head: bytes) -> bool:
        del path
        return head.startswith(MARK)

    def inspect(self, path: Path) -> Inspection:
        del path
        return Inspection(SIGNATURE)

    def load(self, bundle: Bundle, device: str = "cpu") -> Constant:
        del bundle, device
        return Constant()


class Constant:
    """Views of two arrays that were made at load."""

    def __init__(self) -> None:
        self.label = np.zeros(ROWS, np.int64)
        self.probabilities = np.tile(np.array([0.9987538, 0.00124621], np.float32), (ROWS, 1))

    def predict(self, batch: Batch) -> Batch:
        rows = batch.rows
        return Batch({"label": self.label[:rows], "probabilities": self.probabilities[:rows]}, rows)

    def close(self) -> None:
        pass
