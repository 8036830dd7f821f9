"""Outcomes as they come: read as they are meant, or refused with every fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from servable.domain.outcome import Outcome
from servable.errors import InvalidInput
from servable.wire.outcomes import read_outcomes


def body(*told: Any) -> bytes:
    return json.dumps({"outcomes": told}).encode()


def test_what_is_told_is_read():
    told = [
        {"id": "a", "outcome": True},
        {"id": "b", "outcome": "yes", "time": 12.5},
        {"id": "c", "outcome": -1.5, "time": "1970-01-01T01:00:00+01:00", "version": 3},
        {"id": "d", "outcome": 7, "time": "1970-01-01T00:01:00"},
    ]
    assert read_outcomes(body(*told)) == [
        Outcome("a", True),
        Outcome("b", "yes", 12.5),
        Outcome("c", -1.5, 0.0, 3),
        Outcome("d", 7, 60.0),
    ]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "expected a JSON object"),
        (body(), "expected a list"),
        (body(7), "expected an 'id'"),
        (body({"id": "a"}), "expected an 'id'"),
        (body({"id": 7, "outcome": 1}), "expected an 'id'"),
        (body({"id": "", "outcome": 1}), "expected an 'id'"),
        (body({"id": "a", "outcome": None}), "a number, a text, true or false"),
        (body({"id": "a", "outcome": [1]}), "a number, a text, true or false"),
        (body({"id": "a", "outcome": 1, "when": 3}), "'when' means nothing here"),
        (body({"id": "a", "outcome": 1, "time": "noon"}), "ISO 8601"),
        (body({"id": "a", "outcome": 1, "time": True}), "ISO 8601"),
        (body({"id": "a", "outcome": 1, "version": -1}), "whole number"),
        (body({"id": "a", "outcome": 1, "version": 2.0}), "whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(told, said):
    with pytest.raises(InvalidInput, match=said):
        read_outcomes(told)


def test_every_fault_is_told_with_its_place():
    with pytest.raises(InvalidInput) as refused:
        read_outcomes(body({"id": "a", "outcome": 1}, {"id": "b"}, 3))
    assert [fault.partition(":")[0] for fault in refused.value.detail["faults"]] == ["outcomes[1]", "outcomes[2]"]
