"""The refusal of rows: one error that lists every rule and row, what was expected and what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from servable.domain.batch import Array
from servable.domain.field import MAX_ROWS_NAMED
from servable.domain.rule import Fired, ranges
from servable.errors import Refused
from servable.rules.tests import Test
from servable.rules.view import View


def refusal(fired: Sequence[Fired], tests: Mapping[str, Test], view: View, numbers: Array | None = None) -> None:
    """Raise Refused if a rule that refuses is among those that fired. `numbers` are the caller's."""
    refusing = [each for each in fired if each.rule.action == "refuse"]
    if not refusing:
        return
    rules = []
    sentences = []
    for each in refusing:
        test = tests[each.rule.name]
        rows = each.rows if numbers is None else numbers[each.rows]
        came = [
            f"{test.got(view, int(at))} (row {row})"
            for at, row in zip(each.rows[:MAX_ROWS_NAMED], rows[:MAX_ROWS_NAMED], strict=True)
        ]
        got = ", ".join(came) + (", …" if len(rows) > MAX_ROWS_NAMED else "")
        detail: dict[str, Any] = {"rule": each.rule.name, "severity": each.rule.severity, "rows": ranges(rows)}
        rules.append({**detail, "reason": each.rule.reason, "expected": test.expected, "got": got})
        why = f"{each.rule.reason}; " if each.rule.reason else ""
        sentences.append(f"rule {each.rule.name!r}: {why}expected {test.expected}, got {got}")
    raise Refused(f"refused by {'; '.join(sentences)}", rules=rules, fired=fired)
