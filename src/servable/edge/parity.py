"""Whether a device answers as the server does: outputs within the tolerance, refusals and rules to the letter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from servable.bundles.difference import ABSOLUTE, RELATIVE
from servable.edge.served import Told

MOST_SHOWN: Final = 20
_RUNTIMES: Final = ("onnxruntime: ", "TensorFlow: ", "LiteRT: ")
"""How each begins what it says of its own failures."""
_COMPARED: Final = ("error", "code", "faults", "rules", "parameters", "model_name", "model_version")


class Mismatch(msgspec.Struct, frozen=True):
    """A body that was answered otherwise: where, what the server said, what the device said."""

    body: str
    where: str
    server: str
    device: str


class Parity(msgspec.Struct, frozen=True):
    """One device beside the server. `largest` is the largest difference of each output's numbers; of `wrong` bodies
    the first are shown.
    """

    device: str
    bodies: int
    answered: int
    refused: int
    largest: dict[str, float]
    wrong: int
    mismatches: tuple[Mismatch, ...] = ()
    first_ms: float | None = None
    p50_ms: float | None = None

    @property
    def passed(self) -> bool:
        return self.wrong == 0

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:.2g}" for name, value in self.largest.items())
        counts = f"{self.bodies} bodies ({self.answered} answered, {self.refused} refused)"
        if self.passed:
            return f"{self.device}: equal on {counts}; largest differences: {told}"
        first = self.mismatches[0]
        return (
            f"{self.device}: {self.wrong} of {counts} differ; the first in {first.where}: the server says "
            f"{first.server}, the device {first.device}, to {first.body}"
        )


def compare(
    device: str, bodies: Sequence[Any], server: Sequence[Told], told: Sequence[Told],
    relative: float = RELATIVE, absolute: float = ABSOLUTE,
) -> Parity:  # fmt: skip
    """Each answer beside the server's. A number may be off by `absolute` + `relative` of the largest that its output
    holds in that row: numbers of one vector come out of the same sums, and are rounded at their scale.
    """
    largest: dict[str, float] = {}
    wrong = []
    for body, want, got in zip(bodies, server, told, strict=True):
        found = next(_differences(want, got, largest, relative, absolute), None)
        if found is not None:
            where, left, right = found
            wrong.append(Mismatch(_short(body), where, _short(left), _short(right)))
    refused = sum("error" in want for want in server)
    return Parity(device, len(bodies), len(bodies) - refused, refused, largest, len(wrong), tuple(wrong[:MOST_SHOWN]))


def _differences(
    want: Told, got: Told, largest: dict[str, float], relative: float, absolute: float
) -> Iterator[tuple[str, Any, Any]]:
    if _failed(want) and _failed(got):
        return  # the runtimes word their own failures, with places in their source
    for key in _COMPARED:
        if want.get(key) != got.get(key):
            yield key, want.get(key), got.get(key)
    rows, others = _rows(want), _rows(got)
    if len(rows) != len(others):
        yield "the number of rows", len(rows), len(others)
        return
    for at, (row, other) in enumerate(zip(rows, others, strict=True)):
        left, right = dict(_leaves(row)), dict(_leaves(other))
        if left.keys() != right.keys():
            yield f"the outputs of row {at}", sorted(map(str, left)), sorted(map(str, right))
            continue
        scales = _scales(left)
        for path, value in left.items():
            name, came = path[0], right[path]
            if _is_number(value) and _is_number(came):
                gap = abs(value - came)
                largest[name] = max(largest.get(name, 0.0), gap)
                if not gap <= absolute + relative * scales[name] or (isinstance(value, int) and gap):
                    yield f"{'.'.join(map(str, path))} of row {at}", value, came
            elif value != came or type(value) is not type(came):
                largest[name] = math.inf
                yield f"{'.'.join(map(str, path))} of row {at}", value, came
            else:
                largest.setdefault(name, 0.0)


def _rows(told: Told) -> list[Any]:
    """The rows of an answer; of one in tensors a single one, which holds them by name."""
    if "outputs" in told:
        return [{each["name"]: {key: each[key] for key in ("datatype", "shape", "data")} for each in told["outputs"]}]
    found: list[Any] = told.get("rows", [])
    return found


def _failed(told: Told) -> bool:
    return told.get("code") == "model_failed" and str(told.get("error")).startswith(_RUNTIMES)


def _scales(leaves: Mapping[tuple[Any, ...], Any]) -> dict[Any, float]:
    """The largest number of each output in a row."""
    found: dict[Any, float] = {}
    for path, value in leaves.items():
        if _is_number(value):
            found[path[0]] = max(found.get(path[0], 0.0), abs(value))
    return found


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for name, inside in value.items():
            yield from _leaves(inside, (*path, name))
    elif isinstance(value, list):
        for at, inside in enumerate(value):
            yield from _leaves(inside, (*path, at))
    else:
        yield path, value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return value[:600] if isinstance(value, str) else orjson.dumps(value).decode()[:400]
