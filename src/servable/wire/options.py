"""Options: what a request says of itself beside its tensors: id, deadline, priority, parameters for the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from servable.errors import InvalidInput

RESERVED: Final = frozenset(
    {
        "sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output",
        "binary_data_size", "content_type",
    }
)  # fmt: skip
"""Parameters that belong to the protocol (Triton's docs/protocol); all others, but `triton_*`, go to the model."""

MICROSECOND: Final = 1e-6


class Options(NamedTuple):
    """`timeout_s` is None where the request names none; `parameters` is None where there are none for the model."""

    id: str = ""
    timeout_s: float | None = None
    priority: int = 0
    parameters: dict[str, Any] | None = None


def read_options(request_id: Any, parameters: Mapping[str, Any] | None) -> Options:
    """Options from a request's `id` and `parameters`. `timeout` is in microseconds, as the protocol has it."""
    if request_id is None:
        request_id = ""
    elif not isinstance(request_id, str):
        raise InvalidInput("the request is not valid", faults=[f"'id': expected a string, got {request_id!r:.80}"])
    if not parameters:
        return Options(request_id)
    faults: list[str] = []
    timeout_us = _integer(parameters, "timeout", faults)
    priority = _integer(parameters, "priority", faults)
    own = {}
    for name, value in parameters.items():
        if not isinstance(value, (str, int, float, bool)):
            faults.append(f"parameter {name!r}: expected a string, number or boolean, got {type(value).__name__}")
        elif name not in RESERVED and not name.startswith("triton_"):
            own[name] = value
    if faults:
        raise InvalidInput("the request's parameters are not valid", faults=faults)
    return Options(request_id, timeout_us * MICROSECOND if timeout_us else None, priority, own or None)


def _integer(parameters: Mapping[str, Any], name: str, faults: list[str]) -> int:
    value = parameters.get(name, 0)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        faults.append(f"parameter {name!r}: expected a whole number, 0 or more, got {value!r:.80}")
        return 0
    return value
