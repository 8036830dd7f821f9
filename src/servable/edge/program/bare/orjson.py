"""In the place of orjson: `loads` and `dumps` over Python's json, as strict, with numpy's arrays and without NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

JSONDecodeError = json.JSONDecodeError
OPT_SERIALIZE_NUMPY: Final = 1 << 4
LONGEST: Final = 20
"""Digits of the largest whole number that is one; longer ones are floats."""


def loads(data: bytes | bytearray | memoryview | str) -> Any:
    """The value of a JSON text in UTF-8. Raises JSONDecodeError."""
    try:
        text = data if isinstance(data, str) else bytes(data).decode()
        found = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_strange)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()  # half a pair of surrogates is no text
    except JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise JSONDecodeError(str(error), "", 0) from error
    return found


def dumps(value: Any, default: Callable[[Any], Any] | None = None, option: int = 0) -> bytes:  # noqa: ARG001 - arrays are always written
    """The JSON text of a value, arrays included. Raises TypeError for what JSON does not hold, where `default` gives
    nothing for it.
    """
    plain = _plain(value, default)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _plain(value: Any, default: Callable[[Any], Any] | None) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(each, default) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each, default) for name, each in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(_shortest(np.asarray(value)).tolist(), default)
    if default is None:
        raise TypeError(f"Type is not JSON serializable: {type(value).__name__}")
    return _plain(default(value), default)


def _shortest(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Floats of fewer bits as those whose shortest text is theirs: 0.1 of 32 bits is written 0.1."""
    if array.dtype.kind != "f" or array.dtype == np.float64:
        return array
    return array.astype(np.float32).astype(str).astype(np.float64)


def _whole(text: str) -> int | float:
    if len(text) <= LONGEST:
        number = int(text)
        if -(2**63) <= number < 2**64:
            return number
    return _finite(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("number is infinity when parsed as double")
    return number


def _strange(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
