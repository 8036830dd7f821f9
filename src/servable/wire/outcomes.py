"""Outcomes of predictions as JSON: `{"outcomes": [{"id", "outcome", "time"?, "version"?}]}`."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

from servable.domain.outcome import Outcome
from servable.errors import InvalidInput
from servable.wire.json_object import json_object

EXAMPLE: Final = {"outcomes": [{"id": "the id of a prediction", "outcome": 1}]}
SHOWN: Final = 20
"""Faults that are told."""
_FIELDS: Final = {"id", "outcome", "time", "version"}


def read_outcomes(body: bytes) -> list[Outcome]:
    """The outcomes of a body, one at least. Raises InvalidInput that tells every fault."""
    told = json_object(body, EXAMPLE).get("outcomes")
    if not isinstance(told, list) or not told:
        raise InvalidInput("'outcomes': expected a list of objects with 'id' and 'outcome'", example=EXAMPLE)
    found = []
    faults = []
    for place, one in enumerate(told):
        try:
            found.append(_outcome(one))
        except ValueError as error:
            faults.append(f"outcomes[{place}]: {error}")
    if faults:
        raise InvalidInput(
            f"outcomes that cannot be read: {'; '.join(faults[:3])}", faults=faults[:SHOWN], example=EXAMPLE
        )
    return found


def _outcome(one: Any) -> Outcome:
    if not isinstance(one, dict) or not isinstance(one.get("id"), str) or not one["id"] or "outcome" not in one:
        raise ValueError(f"expected an 'id' (a text) and an 'outcome', got {one!r:.80}")
    if odd := sorted(map(str, one.keys() - _FIELDS)):
        raise ValueError(f"{odd[0]!r} means nothing here: expected {', '.join(sorted(_FIELDS))}")
    value, version = one["outcome"], one.get("version", 0)
    if not isinstance(value, (bool, int, float, str)):
        raise ValueError(  # noqa: TRY004 - the caller's, as the others
            f"'outcome': expected a number, a text, true or false, got {value!r:.80}"
        )
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version < 2**31:
        raise ValueError(f"'version': expected a whole number from 0 on, got {version!r:.80}")
    return Outcome(one["id"], value, _time(one.get("time")), version)


def _time(told: Any) -> float:
    """Seconds since the epoch, of a number of them or ISO 8601; without a zone it is UTC."""
    if told is None:
        return 0.0
    if isinstance(told, (int, float)) and not isinstance(told, bool) and math.isfinite(told):
        return float(told)
    if isinstance(told, str):
        try:
            moment = datetime.fromisoformat(told)
        except ValueError:
            pass
        else:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    raise ValueError(f"'time': expected seconds since 1970 or ISO 8601, got {told!r:.80}")
