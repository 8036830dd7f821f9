"""Classification: an output told as its k highest classes, as Triton's extension has it. Pure; every codec uses it.

Source: triton-inference-server/server, docs/protocol/extension_classification.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from servable.domain.batch import Array
from servable.errors import InvalidInput


def classify(array: Array, classes: int, labels: Sequence[str] | None = None, *, batched: bool = True) -> Array:
    """The highest values of each row as text `value:index`, or `value:index:label` where the index has a label.

    `array` is [rows, ...], flattened past its rows (without `batched`: flattened whole); the answer is an object array
    [rows, k] (without `batched`: [k]), k being `classes` or as many as there are. Highest first; of equal ones the
    lower index; NaN last. Raises InvalidInput for text, which has no order.

    >>> classify(np.array([[0.1, 0.7, 0.2]], np.float32), 2, ["cat", "dog"]).tolist()
    [['0.700000:1:dog', '0.200000:2']]
    """
    if array.dtype == object:
        raise InvalidInput(
            "'classification' is for outputs of numbers: this one holds text (BYTES); ask for it as it is"
        )
    rows = array.shape[0] if batched and array.ndim else 1
    table = array.reshape(rows, array.size // rows if rows else 0)
    if table.dtype == np.bool_:
        table = table.astype(np.uint8)
    rank = np.where(np.isnan(table), -np.inf, table) if table.dtype.kind == "f" else table
    # Sorted upwards from the far end and read backwards: downwards, with the lower index first among equals.
    order = table.shape[1] - 1 - np.argsort(rank[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :classes]
    told = np.empty(order.shape, object)
    for row, column in np.ndindex(*order.shape):
        index = int(order[row, column])
        value = table[row, index]
        text = f"{value:f}:{index}" if table.dtype.kind == "f" else f"{value}:{index}"
        told[row, column] = f"{text}:{labels[index]}" if labels is not None and index < len(labels) else text
    return told if batched else told[0]
