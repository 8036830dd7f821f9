"""Case: one row that a model must never get wrong again, and what is expected of its answer.

Written as people would: `{"row": {"age": 41, ...}, "label": "yes", "must_pass": true, "note": "claim 4711"}`. What is
expected is one of: a `label`; a number, or the score of a class, `between` two ends; that it is `refused`; or that the
answer is `near` that of another row. Without any of them: that it answers, and with finite numbers.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from servable.errors import UsageError

Source = Literal["hand", "probe", "production"]


class Near(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another row, and by how much the answers may differ."""

    row: dict[str, Any]
    within: float


class Case(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`row` is as a request has it: {column: value}, null where a value is missing.

    `of` is the class whose score is meant. A case that need not pass is told, and stops nobody.
    """

    row: dict[str, Any]
    label: str | int | float | bool | None = None
    between: tuple[float, float] | None = None
    refused: bool = False
    near: Near | None = None
    of: str = ""
    must_pass: bool = True
    note: str = ""
    source: Source = "hand"

    def __post_init__(self) -> None:
        wanted = [self.label is not None, self.between is not None, self.refused, self.near is not None]
        if sum(wanted) > 1:
            raise ValueError("expected one of 'label', 'between', 'refused' and 'near' in a case, got several")
        if self.between is not None and self.between[0] > self.between[1]:
            raise ValueError(f"'between' is {list(self.between)}: expected the lower end first")

    @property
    def id(self) -> str:
        """From its content: the same case twice is one."""
        plain = msgspec.structs.replace(self, note="", source="hand", must_pass=True)
        return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:12]

    def expected(self) -> str:
        """What is expected, in a phrase."""
        of = f"the score of {self.of!r}" if self.of else "the number"
        if self.label is not None:
            return f"answers {self.label!r}"
        if self.between is not None:
            return f"{of} is between {self.between[0]:g} and {self.between[1]:g}"
        if self.refused:
            return "is refused"
        if self.near is not None:
            return f"answers within {self.near.within:g} of a row like it"
        return "answers with finite numbers"


def read_cases(text: str, source: str) -> list[Case]:
    """The cases of a JSON list, or of JSON lines. Raises UsageError that names the line."""
    try:
        if text.lstrip().startswith("["):
            return list(msgspec.json.decode(text, type=list[Case]))
        return [_case(line) for line in text.splitlines() if line.strip()]
    except msgspec.MsgspecError as error:
        shown = '{"row": {column: value}, "label": ...}'
        raise UsageError(f"{source} does not hold cases: {error}. A case is {shown}") from error


def _case(line: str) -> Case:
    return msgspec.json.decode(line, type=Case)
