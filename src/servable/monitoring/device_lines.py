"""Lines of what devices answered, in the form in which a server writes its own records: by inputs and outputs.

What tells them apart is `target`, which is "edge" here and stands in no line of a server, and `weight`: so many calls
it stands for, as devices send a share of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.wire.device_records import DeviceRecord

EDGE: Final = "edge"


def line(name: str, record: DeviceRecord, signature: Signature) -> dict[str, Any]:
    """The line of a record. Of its inputs those of which every column was sent.

    >>> x, y = Field("x", "FP32", (-1, 2), features=("a", "b")), Field("y", "FP32")
    >>> told = DeviceRecord("i", "3", 1.8e9, [{"a": 1, "b": 2}], [{"y": 4.5}], share=0.5)
    >>> line("m", told, Signature((x,), (y,)))["inputs"], line("m", told, Signature((x,), (y,)))["weight"]
    ({'x': [[1, 2]]}, 2.0)
    """
    return {
        "id": record.id, "model": name, "version": record.version, "time": record.time, "rows": len(record.inputs),
        "inputs": dict(_columns(record.inputs, signature.inputs)),
        "outputs": None if record.outputs is None else dict(_columns(record.outputs, signature.outputs)),
        "error": record.error, "target": EDGE, "weight": 1 / record.share,
    }  # fmt: skip


def _columns(rows: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> Iterator[tuple[str, list[Any]]]:
    for field in fields:
        # Features stand in rows of inputs by their own names, in rows of outputs within the name of the output.
        within = [row[field.name] if isinstance(row.get(field.name), dict) else row for row in rows]
        names = field.features or (field.name,)
        if not rows or not all(name in row for row in within for name in names):
            continue
        if field.features:
            yield field.name, [[row[name] for name in names] for row in within]
        else:
            alone = field.shape[1:] == (1,)
            yield field.name, [[row[field.name]] if alone else row[field.name] for row in rows]
