"""Which variant goes: a table of what was measured, what is allowed, and what is taken."""

from __future__ import annotations

import pytest

from servable.edge.policy import Candidate, Limits, choose

ORIGINAL = Candidate("original", 1000, lossy=False, loss=0.0, latency_ms=2.0)
OPTIMISED = Candidate("optimised", 900, lossy=False, loss=1e-9, latency_ms=2.0)
HALF = Candidate("float16", 500, lossy=True, loss=0.001, latency_ms=2.0)
EIGHT = Candidate("int8", 250, lossy=True, loss=0.02, latency_ms=0.5)
ALL = (ORIGINAL, OPTIMISED, HALF, EIGHT)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(), "optimised"),  # nothing is lost, and it is smaller
        (Limits(max_bytes=900), "optimised"),
        (Limits(max_bytes=600), None),  # only lossy ones are small enough, and nobody allowed a loss
        (Limits(max_bytes=600, max_loss=0.1), "float16"),  # the least lossy that fits
        (Limits(max_bytes=300, max_loss=0.1), "int8"),
        (Limits(max_bytes=300, max_loss=0.01), None),
        (Limits(max_bytes=2000, max_loss=0.1), "optimised"),  # a loss that is not needed is not taken
        (Limits(max_latency_ms=1.0, max_loss=0.1), "int8"),
        (Limits(max_latency_ms=1.0), None),
        (Limits(max_latency_ms=0.1, max_loss=1.0), None),
        (Limits(max_loss=0.1), "int8"),  # a loss alone is allowed for the sake of bytes
        (Limits(max_loss=0.01), "float16"),
        (Limits(max_loss=0.0), "optimised"),
        (Limits(named="int8"), "int8"),  # whoever names it has chosen
        (Limits(named="int8", max_loss=0.01), None),
        (Limits(named="original"), "original"),
        (Limits(named="original", max_bytes=999), None),
    ],
)
def test_choice(limits: Limits, expected: str | None) -> None:
    choice = choose(ALL, limits)
    assert choice.name == expected
    assert all(choice.reasons[each.name] for each in ALL if each.name != expected)


def test_what_cannot_be_used_is_never_chosen() -> None:
    broken = Candidate("int8", 10, lossy=True, loss=0.0, fault="the gate refuses it: accuracy>=0.9")
    assert choose((ORIGINAL, broken), Limits(max_loss=1.0)).name == "original"
    assert choose((broken,), Limits(named="int8")).name is None


def test_a_time_that_nobody_measured_is_within_no_limit() -> None:
    unmeasured = Candidate("original", 10, lossy=False, loss=0.0)
    choice = choose((unmeasured,), Limits(max_latency_ms=5.0))
    assert (choice.name, choice.reasons) == (None, {"original": "its time was not measured"})


def test_everything_that_speaks_against_one_is_told() -> None:
    reasons = choose(ALL, Limits(max_bytes=100, max_latency_ms=1.0, max_loss=0.01)).reasons
    assert reasons["int8"] == "250 bytes are over 100; a loss of 0.02 is over 0.01"
    assert reasons["original"] == "1,000 bytes are over 100; 2 ms are over 1 ms"
    assert choose(ALL, Limits()).reasons["int8"] == "it loses 0.02, and no loss is allowed"
