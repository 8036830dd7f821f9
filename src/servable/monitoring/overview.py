"""Overview: what was answered to a name since a moment, and what became of it, by where it was answered and by version.

Reads what a server wrote of its own answers (`record_file`) and what devices sent home; each of the latter counts for
as many calls as it stands for. Draws no conclusion: whoever looks has their own limits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.outcome import Outcome, standing
from servable.domain.record import ids_of
from servable.domain.success import Said, Success, succeeded
from servable.errors import EnvironmentFault
from servable.monitoring.answers import said_by
from servable.monitoring.device_lines import EDGE, line
from servable.monitoring.device_records import DeviceRecords
from servable.monitoring.outcomes import Outcomes
from servable.statistics.proportion import wilson

SERVER: Final = "server"
AT_ONCE: Final = 1000

Line = Mapping[str, Any]


class Part(msgspec.Struct, frozen=True):
    """Of one target and version: the `records` there are, the `calls` that they stand for, and of these the shares that
    were `refused` by rules or `failed`. Of rows with an outcome (`judged`) the share of successes with its interval at
    95 %, as far as weights allow; None: no outcome tells.
    """

    target: str
    version: str
    records: int
    calls: float
    refused: float
    failed: float
    judged: int
    success: tuple[float, float, float] | None = None


def overview(
    lines: Iterable[Line], outcomes: Mapping[str, Outcome], bundles: Mapping[str, Bundle], success: Success
) -> list[Part]:
    """Of these lines, with the outcomes that hold. What a version of no bundle said is not known."""
    by: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for one in lines:
        by[one.get("target", SERVER), one["version"]].append(one)
    return [_part(key, own, outcomes, bundles.get(key[1]), success) for key, own in sorted(by.items())]


def _part(
    key: tuple[str, str],
    lines: Sequence[Line],
    outcomes: Mapping[str, Outcome],
    bundle: Bundle | None,
    success: Success,
) -> Part:
    weights = [one.get("weight", 1.0) for one in lines]
    calls = sum(weights)
    refused = sum(weight for one, weight in zip(lines, weights, strict=True) if one["error"] == "refused")
    failed = sum(weight for one, weight in zip(lines, weights, strict=True) if one["error"]) - refused
    judged: list[tuple[float, bool]] = []
    for one, weight in zip(lines, weights, strict=True):
        told = [outcomes.get(id) for id in ids_of(one["id"], one["rows"])]
        if any(told):
            for said, outcome in zip(_said(one, bundle), told, strict=True):
                good = None if outcome is None else succeeded(success, said, outcome.outcome)
                if good is not None:
                    judged.append((weight, good))
    return Part(*key, len(lines), calls, refused / calls, failed / calls, len(judged), _share(judged))


def _said(one: Line, bundle: Bundle | None) -> Sequence[Said]:
    """What was said to each row."""
    fields = () if bundle is None else bundle.signature.outputs
    outputs = one["outputs"] or {}
    if bundle is None or not all(field.name in outputs for field in fields):
        return [None] * one["rows"]
    columns = {
        field.name: np.asarray(outputs[field.name], object if field.datatype == "BYTES" else field.dtype)
        for field in fields
    }
    return said_by(Batch(columns, one["rows"]), bundle, one["version"])


def _share(judged: Sequence[tuple[float, bool]]) -> tuple[float, float, float] | None:
    """The weighted share of successes. Weights cost precision: its interval is that of as many rows of equal weight as
    are worth the same (L. Kish, "Survey Sampling", 1965).
    """
    if not judged:
        return None
    whole = sum(weight for weight, _ in judged)
    worth = whole**2 / sum(weight**2 for weight, _ in judged)
    found = wilson(worth * sum(weight for weight, good in judged if good) / whole, worth)
    return found.estimate, found.low, found.high


def of_server(path: Path, name: str, since: float) -> Iterator[Line]:
    """The lines of a server's own answers in its file; those of devices lie there too, and are read where they are
    kept. Raises EnvironmentFault.
    """
    try:
        with path.open("rb") as file:
            for text in file:
                told = msgspec.json.decode(text)
                if told["model"] == name and told["time"] >= since and "target" not in told:
                    yield told
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise EnvironmentFault(f"the records in {path} cannot be read: {error!r}") from error


def of_devices(store: DeviceRecords, name: str, since: float, bundles: Mapping[str, Bundle]) -> Iterator[Line]:
    """What devices sent home, by their own clocks. Raises EnvironmentFault."""
    place = 0
    while found := store.after(name, place, AT_ONCE):
        place = found[-1][0]
        for _, record in found:
            bundle = bundles.get(record.version)
            if record.time >= since:
                yield {"rows": len(record.inputs), "id": record.id, "version": record.version, "error": record.error,
                       "target": EDGE, "weight": 1 / record.share, "outputs": None} if bundle is None else line(
                    name, record, bundle.signature)  # fmt: skip


def standing_of(store: Outcomes, name: str, lines: Sequence[Line]) -> dict[str, Outcome]:
    """The outcomes that hold, by the ids of predictions. Raises EnvironmentFault."""
    told: dict[str, list[Outcome]] = defaultdict(list)
    for each in store.outcomes_of(name, [id for one in lines for id in ids_of(one["id"], one["rows"])]):
        told[each.outcome.id].append(each.outcome)
    return {id: held for id, every in told.items() if (held := standing(every)) is not None}
