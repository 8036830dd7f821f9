"""Tables of cases for what the supervisor decides."""

from __future__ import annotations

import pytest

from servable.domain.route import Route
from servable.engine.plan import Plan, State, Target
from servable.server.supervisor.policy import (
    FIRST_BEAT_S,
    Restarts,
    beat_pause_s,
    changed,
    concerned,
    graft,
    guilty,
    merge,
    names,
    silence_s,
    stamp,
)

ONE, TWO = Target("a", "1", "x"), Target("a", "2", "y")


def plan(**sources: str) -> Plan:
    """A plan of one version a name, from where it lies."""
    return Plan(
        tuple(Target(name, "1", source) for name, source in sources.items()),
        {name: Route("1") for name in sources},
        {name: {"champion": "1"} for name in sources},
    )


@pytest.mark.parametrize(
    ("lives_s", "pauses_s"),
    [
        ([1], [0.0]),
        ([1, 1, 1, 1, 1], [0.0, 0.1, 0.2, 0.4, 0.8]),
        ([1] * 12, [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0, 10.0]),
        ([1, 1, 1, 60, 1], [0.0, 0.1, 0.2, 0.0, 0.1]),
        ([3600, 3600, 3600], [0.0, 0.0, 0.0]),
    ],
)
def test_pauses_between_deaths(lives_s: list[float], pauses_s: list[float]) -> None:
    rules, crashes, got = Restarts(), 0, []
    for lived_s in lives_s:
        crashes = rules.crashes(crashes, lived_s)
        got.append(rules.pause_s(crashes))
    assert got == pytest.approx(pauses_s)


@pytest.mark.parametrize(
    ("silent_s", "stuck", "beaten", "says"),
    [
        (0.0, "", True, ""),
        (10.0, "", True, ""),
        (10.1, "", True, "no sign of life for 10.1 s"),
        (FIRST_BEAT_S, "", False, ""),
        (FIRST_BEAT_S + 1, "", False, "no sign of life for 61.0 s"),
        (0.0, "a call hangs", True, "a call hangs"),
    ],
)
def test_guilt(silent_s: float, stuck: str, beaten: bool, says: str) -> None:
    assert guilty(silent_s, stuck, 10.0, beaten=beaten) == says


def test_a_patient_setting_is_patient_with_the_first_beat_too() -> None:
    assert guilty(100.0, "", 120.0, beaten=False) == ""


@pytest.mark.parametrize(("timeout_s", "pause_s"), [(10.0, 1.0), (60.0, 1.0), (1.0, 0.2)])
def test_five_beats_fit_into_the_timeout(timeout_s: float, pause_s: float) -> None:
    assert beat_pause_s(timeout_s) == pytest.approx(pause_s)


def test_time_in_which_the_supervisor_slept_is_no_ones_silence() -> None:
    silent_s = 0.0
    for elapsed_s in (1.0, 1.1, 7200.0):
        silent_s = silence_s(silent_s, elapsed_s, 1.0)
    assert silent_s == pytest.approx(4.1)


def test_stamp_makes_every_target_newer() -> None:
    assert [target.generation for target in stamp(plan(a="x", b="y"), 7).targets] == [7, 7]


@pytest.mark.parametrize(
    ("base", "source", "chosen", "becomes"),
    [
        (plan(a="x"), plan(a="y", b="z"), {"b"}, plan(a="x", b="z")),
        (plan(a="x"), plan(a="y", b="z"), {"a"}, plan(a="y")),
        (plan(a="x", b="z"), Plan(), {"b"}, plan(a="x")),
        (plan(a="x"), plan(a="y"), set(), plan(a="x")),
        (plan(a="x"), Plan(), {"nobody"}, plan(a="x")),
    ],
)
def test_graft(base: Plan, source: Plan, chosen: set[str], becomes: Plan) -> None:
    assert graft(base, source, chosen) == becomes


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        (plan(a="x"), plan(a="x"), set()),
        (plan(a="x"), plan(a="y"), {"a"}),
        (plan(a="x"), plan(a="x", b="y"), {"b"}),
        (plan(a="x", b="y"), plan(b="y"), {"a"}),
        (plan(a="x"), stamp(plan(a="x"), 1), {"a"}),
        (plan(a="x"), Plan(plan(a="x").targets, {"a": Route("1", canary="2")}, {"a": {"champion": "1"}}), {"a"}),
        (plan(a="x"), Plan(plan(a="x").targets, {"a": Route("1")}, {"a": {"champion": "2"}}), {"a"}),
        (
            Plan((Target("a", "1", "x"), Target("a", "2", "y"))),
            Plan((Target("a", "2", "y"), Target("a", "1", "x"))),
            set(),
        ),
    ],
)
def test_changed(old: Plan, new: Plan, differ: set[str]) -> None:
    assert changed(old, new) == differ


def test_names_are_all_that_a_plan_speaks_of() -> None:
    assert names(Plan((Target("a", "1", "x"),), {"b": Route("1")}, {"c": {}})) == {"a", "b", "c"}


def test_the_worst_state_of_a_version_is_that_of_the_server() -> None:
    one = [State("m", "1", "READY"), State("n", "1", "UNAVAILABLE", "broken")]
    two = [State("n", "1", "READY"), State("m", "1", "UNLOADING"), State("o", "1", "READY")]
    assert merge([one, two]) == [
        State("m", "1", "UNLOADING"),
        State("n", "1", "UNAVAILABLE", "broken"),
        State("o", "1", "READY"),
    ]


def test_a_name_concerns_what_its_route_needs_beside_it() -> None:
    routes = {"m": Route("1", fallback="spare:2", bandit="choice", arms=("1", "2")), "other": Route("1")}
    assert concerned(Plan((), routes), {"m"}) == {"m", "spare", "choice"}
    assert concerned(Plan((), routes), {"other", "gone"}) == {"other", "gone"}
