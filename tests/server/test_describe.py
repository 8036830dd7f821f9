"""Describe: statistics added up over doors, the index, the order of versions. What a real model gives: test_grpc.py."""

from __future__ import annotations

from servable.engine.plan import State
from servable.engine.stats import Stats
from servable.server import describe


def _counted(name: str, version: str, *calls: tuple[int, float], code: str = "") -> dict:
    stats = Stats()
    for rows, seconds in calls:
        stats.executed(rows, seconds)
        stats.answered(rows, 0.25, 0.25 + seconds)
    if code:
        stats.failed(code)
    return {"name": name, "version": version, **stats.snapshot()}


def test_statistics_of_all_doors_are_added_up():
    doors = [
        _counted("m", "2", (1, 0.5), (4, 1.0)),
        _counted("a", "1"),
        _counted("m", "2", (4, 2.0), code="overloaded"),
        _counted("m", "1", (1, 0.5)),
    ]
    stats = describe.statistics(doors)["model_stats"]
    assert [(each["name"], each["version"]) for each in stats] == [("a", "1"), ("m", "1"), ("m", "2")]
    m2 = stats[2]
    assert (m2["inference_count"], m2["execution_count"]) == (9, 3)
    assert m2["inference_stats"]["success"] == {"count": 3, "ns": 4_250_000_000}
    assert m2["inference_stats"]["fail"]["count"] == 1
    assert m2["inference_stats"]["queue"] == {"count": 3, "ns": 750_000_000}
    assert m2["inference_stats"]["compute_infer"] == {"count": 3, "ns": 3_500_000_000}
    assert [(batch["batch_size"], batch["compute_infer"]) for batch in m2["batch_stats"]] == [
        (1, {"count": 1, "ns": 500_000_000}),
        (4, {"count": 2, "ns": 3_000_000_000}),
    ]
    assert m2["last_inference"] > 1_700_000_000_000
    assert stats[0]["last_inference"] == 0


def test_statistics_of_a_name_or_a_version():
    doors = [_counted("m", "1"), _counted("m", "2"), _counted("n", "1")]
    assert len(describe.statistics(doors, "m")["model_stats"]) == 2
    assert len(describe.statistics(doors, "m", "2")["model_stats"]) == 1
    assert describe.statistics(doors, "x")["model_stats"] == []


def test_the_index_tells_states_and_reasons():
    states = [State("m", "1", "READY"), State("m", "2", "UNAVAILABLE", "no such file")]
    assert describe.index(states) == [
        {"name": "m", "version": "1", "state": "READY", "reason": ""},
        {"name": "m", "version": "2", "state": "UNAVAILABLE", "reason": "no such file"},
    ]
    assert [entry["version"] for entry in describe.index(states, ready=True)] == ["1"]


def test_versions_are_in_order_of_their_numbers():
    assert sorted(["beta", "10", "9", "alpha"], key=describe._by_number) == ["9", "10", "alpha", "beta"]
