"""The rows of an array as JSON, all in one go: the text of the whole, cut where a row ends."""

from __future__ import annotations

from typing import Final

import orjson

from servable.domain.batch import Array

MATRIX: Final = 2


def row_texts(array: Array, *, gaps: bool = False) -> list[bytes] | None:
    """The values of each row, without brackets. None for what is not plain numbers in one or two axes; and, unless
    `gaps` are well, where there is a value that JSON lacks (NaN, infinity), of which orjson makes `null`.

    >>> import numpy as np
    >>> row_texts(np.array([[1.5, 2.0], [3.0, 4.0]])), row_texts(np.array([1, 2]))
    ([b'1.5,2.0', b'3.0,4.0'], [b'1', b'2'])
    """
    if array.dtype == object or not 1 <= array.ndim <= MATRIX or not array.size or not array.flags.c_contiguous:
        return None
    data = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    if not gaps and b"null" in data:
        return None
    return data[1:-1].split(b",") if array.ndim == 1 else data[2:-2].split(b"],[")
