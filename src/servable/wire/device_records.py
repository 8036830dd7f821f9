"""What devices answered, as JSON: `{"records": [{"id", "version", "time", "inputs", "outputs", "error", "share"}]}`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from servable.errors import InvalidInput

MOST: Final = 1000
"""Records in one body."""
MOST_ID: Final = 128
EXAMPLE: Final = {
    "records": [{"id": "unique", "version": "3", "time": 1.8e9, "inputs": [{"age": 40}], "outputs": None}]
}


class DeviceRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call of a model on a device: rows of those inputs that may leave it, and the rows it answered, or the code of
    the error. `time` is the device's own, in seconds since the epoch; of its calls the device sends this `share`.
    """

    id: str
    version: str
    time: float
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]] | None = None
    error: str = ""
    share: float = 1.0


class _Body(msgspec.Struct):
    records: list[DeviceRecord]


def read_device_records(body: bytes) -> list[DeviceRecord]:
    """The records of a body, one at least. Raises InvalidInput."""
    try:
        records = msgspec.json.decode(body, type=_Body).records
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"records that cannot be read: {error}", example=EXAMPLE) from error
    if not 0 < len(records) <= MOST:
        raise InvalidInput(f"'records': expected 1 to {MOST}, got {len(records)}", example=EXAMPLE)
    if odd := next((record for record in records if not 0 < len(record.id) <= MOST_ID), None):
        raise InvalidInput(f"'id': expected 1 to {MOST_ID} characters, got {odd.id!r:.80}", example=EXAMPLE)
    if odd := next((record for record in records if not 0 < record.share <= 1), None):
        raise InvalidInput(f"'share': expected more than 0 and at most 1, got {odd.share:g}", example=EXAMPLE)
    return records
