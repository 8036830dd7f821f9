"""The tally: no sum runs backwards while doors come, fall sick and go; and it does not grow with their number."""

from __future__ import annotations

from typing import Any

from servable.engine.stats import Stats
from servable.server import describe
from servable.server.http.metrics import render
from servable.server.supervisor.tally import Tally
from tests.server.http.test_metrics import IRIS, door, read


def report(pid: int, answered: int, *versions: str) -> dict[str, Any]:
    stats = Stats()
    for _ in range(answered):
        stats.executed(2, 0.001)
        stats.answered(2, 0.0, 0.002)
    stats.failed("overloaded")
    stats.pending = 1
    return {**door(pid, {("iris", version): stats for version in versions or ("3",)}), "pid": pid}


def ok(reports: list[Any]) -> float:
    return read(render(reports)).get(("servable_requests_total", (("code", "ok"), *IRIS)), 0)


def test_a_door_that_is_replaced_still_counts() -> None:
    tally = Tally()
    assert ok(tally.complete([report(1, 10), report(2, 5)], {1, 2})) == 15
    assert ok(tally.complete([report(2, 6), report(3, 0)], {2, 3})) == 16
    assert ok(tally.complete([report(2, 7), report(4, 1)], {2, 4})) == 18


def test_what_the_dead_held_is_gone_and_what_they_did_is_whole() -> None:
    tally = Tally()
    tally.complete([report(1, 10)], {1})
    page = read(render(tally.complete([report(2, 1)], {2})))
    assert page["servable_in_flight", IRIS] == 1
    assert page["servable_doors", ()] == 1
    assert page["servable_requests_total", (("code", "overloaded"), *IRIS)] == 2
    assert page["servable_request_seconds_count", IRIS] == 11
    assert page["servable_batch_rows_count", IRIS] == 11
    assert page["servable_records_taken_total", ()] == 20


def test_a_door_too_sick_to_tell_counts_as_it_last_did() -> None:
    tally = Tally()
    tally.complete([report(1, 10), report(2, 5)], {1, 2})
    assert ok(tally.complete([report(1, 11)], {1, 2})) == 16
    assert ok(tally.complete([], {1, 2})) == 16


def test_it_does_not_grow() -> None:
    tally = Tally()
    for pid in range(500):
        reports = tally.complete([report(pid, 1, "3", f"old-{pid}")], {pid})
        assert len(reports) <= 2
    assert [model["version"] for model in reports[1]["models"]] == ["3"]
    assert ok(reports) == 500


def test_statistics_take_the_past_too() -> None:
    tally = Tally()
    tally.complete([report(1, 10)], {1})
    counted = [
        {"name": model["name"], "version": model["version"], **model["stats"]}
        for told in tally.complete([report(2, 1)], {2})
        for model in told["models"]
    ]
    (told,) = describe.statistics(counted)["model_stats"]
    assert told["inference_count"] == 22
    assert told["execution_count"] == 11


def test_what_routes_did_is_whole_too() -> None:
    def routed(pid: int, share: int, largest: float) -> dict[str, Any]:
        shadow = {"compared": 2, "rows": 4, "agreed": 3, "failed": 0, "rescued": 0, "dropped": 1, "largest": largest}
        counts = {"assigned": {"3": share}, "fallbacks": {"3 model_failed": 1}, "shadows": {"4": shadow}}
        return report(pid, 1) | {"routes": {"iris": counts}}

    tally = Tally()
    tally.complete([routed(1, 5, 0.5), routed(2, 6, 0.2)], {1, 2})
    reports = tally.complete([routed(2, 7, 0.2), routed(3, 1, 0.1)], {2, 3})
    assert reports[-1]["routes"]["iris"]["shadows"]["4"]["largest"] == 0.5
    page = read(render(reports))
    assert page["servable_route_assigned_total", IRIS] == 13
    assert page["servable_fallbacks_total", (("code", "model_failed"), *IRIS)] == 3
    assert page["servable_shadow_rows_agreed_total", (("model", "iris"), ("version", "4"))] == 9
