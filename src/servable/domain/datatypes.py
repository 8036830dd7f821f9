"""The datatypes of the Open Inference Protocol and the numpy dtypes that hold them.

BYTES is held as an object array: `str` where the bytes are valid UTF-8, `bytes` where they are not (images, say).
Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md, "Tensor Data Types".
"""

from __future__ import annotations

from typing import Final

import numpy as np

DTYPES: Final[dict[str, np.dtype]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
"""Datatype name to numpy dtype. BF16 is absent: numpy has none, and the protocol leaves its JSON form undefined."""

_NAMES: Final[dict[np.dtype, str]] = {dtype: name for name, dtype in DTYPES.items()}

FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})
INTEGERS: Final = frozenset({"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"})


def datatype_of(dtype: np.dtype) -> str:
    """The protocol's name for a numpy dtype; any kind of string or date is BYTES.

    >>> datatype_of(np.dtype("float32"))
    'FP32'
    >>> datatype_of(np.dtype("<U7"))
    'BYTES'
    """
    name = _NAMES.get(dtype.newbyteorder("="))
    if name is not None:
        return name
    if dtype.kind in "USOMT":
        return "BYTES"
    raise TypeError(f"numpy dtype {dtype} has no datatype in the protocol; one of {', '.join(DTYPES)} is expected")
