"""Arithmetic in eight bits, by onnxruntime's own quantisation: a quarter of the bytes, and quicker where processors
have instructions for it. Where scales come from is the difference: of each call (dynamic), or of rows seen before
(static).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from servable.domain.batch import Batch
from servable.edge.slim import loaded

QUANTISED: Final = frozenset({"MatMul", "Gemm", "Conv", "Attention", "LSTM", "Gather", "EmbedLayerNormalization"})
"""What has weights that onnxruntime quantises."""
MOST_CALIBRATING: Final = 200
"""Rows that scales are taken from; their extremes settle early."""


def dynamic(model: bytes, _: Batch) -> bytes | None:
    """Weights as eight bits, a scale for each column; the scales of all else are found in each call. None where nothing
    in the model can be quantised.
    """
    with _quantising(model) as (quantisation, source, target):
        if source is None:
            return None
        # Unsigned: of signed weights, processors without VNNI saturate their sums, and would answer otherwise.
        quantisation.quantize_dynamic(source, target, per_channel=True, weight_type=quantisation.QuantType.QUInt8)
        return target.read_bytes()


def static(model: bytes, rows: Batch) -> bytes | None:
    """All scales fixed to what the rows show. None where nothing can be quantised, or there are no rows."""
    with _quantising(model) as (quantisation, source, target):
        if source is None or not rows.rows:
            return None
        quantisation.quantize_static(
            source, target, _reader(quantisation, rows), per_channel=True,
            activation_type=quantisation.QuantType.QUInt8, weight_type=quantisation.QuantType.QInt8, reduce_range=True,
        )  # fmt: skip
        return target.read_bytes()


def _reader(quantisation: Any, rows: Batch) -> Any:
    """Rows one by one, as the calibration asks for them."""

    class Reader(quantisation.CalibrationDataReader):  # type: ignore[misc] # the library has no types
        def __init__(self) -> None:
            self._left = iter(range(min(rows.rows, MOST_CALIBRATING)))

        def get_next(self) -> dict[str, Any] | None:
            at = next(self._left, None)
            return None if at is None else dict(rows.slice(at, at + 1).columns)

    return Reader()


@contextmanager
def _quantising(model: bytes) -> Iterator[tuple[Any, Path | None, Path]]:
    """The library, the model in a file (None: there is nothing to quantise), and where to write."""
    proto = loaded(model)
    import onnxruntime.quantization as quantisation

    with tempfile.TemporaryDirectory(prefix="servable-edge-") as folder:
        source, target = Path(folder) / "model.onnx", Path(folder) / "quantised.onnx"
        if not any(node.op_type in QUANTISED for node in proto.graph.node):
            yield quantisation, None, target
            return
        source.write_bytes(model)
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # it advises, on every call, what `optimised` has done already
        try:
            yield quantisation, source, target
        finally:
            root.setLevel(level)
