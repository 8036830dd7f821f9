"""Asked: what a look-up of many keys asks for. For both doors, and knows no store."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from servable.errors import InvalidInput, TooLarge
from servable.wire.json_object import json_object

MOST_KEYS: Final = 10_000
EXAMPLE: Final = {"keys": ["42", "43"]}

Row = dict[str, Any]


class Asked(NamedTuple):
    """Keys as they came, and for each the inputs to compute its answer from, or None."""

    keys: list[Any]
    rows: list[Row | None] | None = None

    @staticmethod
    def read(body: bytes) -> Asked:
        """`{"keys": [...], "rows": [{column: value} or null, ...]}`. Raises InvalidInput, TooLarge."""
        document = json_object(body, EXAMPLE)
        return Asked.of(document.get("keys"), document.get("rows"))

    @staticmethod
    def of(asked: Any, rows: Any = None) -> Asked:
        """The same, taken apart."""
        if not isinstance(asked, list) or not asked:
            raise InvalidInput("'keys': expected a list of keys", example=EXAMPLE)
        if len(asked) > MOST_KEYS:
            raise TooLarge(f"{len(asked)} keys in one request: at most {MOST_KEYS} are taken")
        if rows is not None and (
            not isinstance(rows, list)
            or len(rows) != len(asked)
            or not all(row is None or isinstance(row, dict) for row in rows)
        ):
            raise InvalidInput("'rows': expected an object or null for each key", example=EXAMPLE)
        return Asked(asked, rows)
