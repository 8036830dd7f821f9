"""The metrics page: that Prometheus reads it, that it counts right, adds up all doors, and stays small."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse

from servable.engine.stats import BOUNDS_S, Stats
from servable.server.http.exposition import Page, cumulative
from servable.server.http.metrics import MOST_VERSIONS, render
from tests.server.declared import models
from tests.server.rest_served import served


def door(slot: int, stats: dict[tuple[str, str], Stats], **more: object) -> dict:
    return {
        "slot": slot, "pid": 100 + slot, "version": "1", "started": 1000.0, "ready": True, "cpu_s": 1.5,
        "rss_bytes": 2**20, "open_fds": 7, "records": {"taken": 10, "dropped": 1, "failed": 0, "waiting": 0},
        "models": [
            {"name": name, "version": version, "state": "READY", "loaded_at": 0.0, "stats": stat.snapshot()}
            for (name, version), stat in stats.items()
        ],
        **more,
    }  # fmt: skip


def read(text: str) -> dict[tuple[str, tuple], float]:
    """Every sample by name and labels; the page must be what Prometheus' own parser reads."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def busy() -> Stats:
    stats = Stats()
    for rows, seconds in ((1, 0.0004), (3, 0.002), (20, 0.3), (1, 99.0)):
        stats.executed(rows, seconds / 2)
        stats.answered(rows, seconds / 4, seconds)
    stats.failed("invalid_input")
    stats.failed("invalid_input")
    stats.failed("overloaded")
    stats.pending = 5
    return stats


IRIS = (("model", "iris"), ("version", "3"))


def test_it_counts_what_was_done() -> None:
    page = read(render([door(0, {("iris", "3"): busy()})]))
    assert page["servable_requests_total", (("code", "ok"), *IRIS)] == 4
    assert page["servable_requests_total", (("code", "invalid_input"), *IRIS)] == 2
    assert page["servable_requests_total", (("code", "overloaded"), *IRIS)] == 1
    assert page["servable_rows_total", IRIS] == 25
    assert page["servable_executions_total", IRIS] == 4
    assert page["servable_in_flight", IRIS] == 5
    assert page["servable_queue_seconds_total", IRIS] == pytest.approx(99.3024 / 4)
    assert page["servable_compute_seconds_total", IRIS] == pytest.approx(99.3024 / 2)
    assert page["servable_request_seconds_count", IRIS] == 4
    assert page["servable_request_seconds_sum", IRIS] == pytest.approx(99.3024)
    assert page["servable_request_seconds_bucket", (("le", "0.0005"), *IRIS)] == 1
    assert page["servable_request_seconds_bucket", (("le", "0.0025"), *IRIS)] == 2
    assert page["servable_request_seconds_bucket", (("le", "10"), *IRIS)] == 3
    assert page["servable_request_seconds_bucket", (("le", "+Inf"), *IRIS)] == 4
    assert page["servable_batch_rows_bucket", (("le", "1"), *IRIS)] == 2
    assert page["servable_batch_rows_bucket", (("le", "4"), *IRIS)] == 3
    assert page["servable_batch_rows_bucket", (("le", "32"), *IRIS)] == 4
    assert page["servable_batch_rows_count", IRIS] == 4
    assert page["servable_records_dropped_total", ()] == 1
    assert page["process_resident_memory_bytes", (("door", "0"),)] == 2**20


def test_it_speaks_triton_too() -> None:
    text = render([door(0, {("iris", "3"): busy()})])
    assert '\nnv_inference_request_success{model="iris",version="3"} 4\n' in text
    page = {(name.removesuffix("_total"), labels): value for (name, labels), value in read(text).items()}
    assert page["nv_inference_request_success", IRIS] == 4
    assert page["nv_inference_request_failure", (("model", "iris"), ("reason", "invalid_input"), ("version", "3"))] == 2
    assert page["nv_inference_count", IRIS] == 25
    assert page["nv_inference_exec_count", IRIS] == 4
    assert page["nv_inference_pending_request_count", IRIS] == 5
    assert page["nv_inference_request_duration_us", IRIS] == 99_302_400


def test_doors_are_added_up() -> None:
    one = door(0, {("iris", "3"): busy(), ("iris", "4"): busy()})
    two = door(1, {("iris", "3"): busy()}, ready=False, records=None)
    page = read(render([one, two]))
    assert page["servable_requests_total", (("code", "ok"), *IRIS)] == 8
    assert page["servable_request_seconds_bucket", (("le", "+Inf"), *IRIS)] == 8
    assert page["servable_batch_rows_count", IRIS] == 8
    assert page["servable_loaded", IRIS] == 2
    assert page["servable_loaded", (("model", "iris"), ("version", "4"))] == 1
    assert page["servable_doors", ()] == 2
    assert page["servable_doors_ready", ()] == 1
    assert page["servable_records_taken_total", ()] == 10


def test_what_a_dead_door_did_still_counts_and_what_it_held_does_not() -> None:
    page = read(render([door(0, {("iris", "3"): busy()}), door(1, {("iris", "3"): busy()}, past=True)]))
    assert page["servable_requests_total", (("code", "ok"), *IRIS)] == 8
    assert page["servable_in_flight", IRIS] == 5
    assert page["servable_loaded", IRIS] == 1
    assert page["servable_doors", ()] == 1
    assert ("process_open_fds", (("door", "1"),)) not in page


def test_nothing_at_all_is_a_page() -> None:
    assert read(render([]))["servable_doors", ()] == 0


def test_the_page_is_bounded() -> None:
    page = read(render([door(0, {(f"m{n}", "1"): Stats() for n in range(MOST_VERSIONS + 50)})]))
    assert len({labels for name, labels in page if name == "servable_rows_total"}) == MOST_VERSIONS
    assert page["servable_versions_not_shown", ()] == 50


def test_each_name_is_told_once_with_its_type() -> None:
    text = render([door(slot, {("iris", "3"): busy(), ("b", "1"): busy()}) for slot in range(3)])
    typed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))
    samples = [line.split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples))


@given(st.text(max_size=40))
def test_any_label_is_read_back_as_it_was(value: str) -> None:
    page = Page()
    page.add("name", "gauge", "Help.", [({"label": value}, 1.0)])
    (family,) = parse(page.text())
    assert family.samples[0].labels == {"label": value}


@given(st.lists(st.integers(0, 100), min_size=len(BOUNDS_S) + 1, max_size=len(BOUNDS_S) + 1))
def test_buckets_never_fall(counts: list[int]) -> None:
    buckets = [count for _, count in cumulative(BOUNDS_S, counts)]
    assert buckets == sorted(buckets)
    assert buckets[-1] == sum(counts)


def test_a_live_door_counts_each_outcome(tmp_path: Path) -> None:
    with served(tmp_path, models(tmp_path)) as live:
        for _ in range(3):
            assert live.post("/v1/models/linear:predict", json={"instances": [[1, 2, 3]]}).status_code == 200
        assert live.post("/v1/models/linear:predict", json={"instances": [[1]]}).status_code == 400
        for query in ("", "?ordinary"):
            assert live.post(f"/v2/models/mixed/infer{query}", content=b"{").status_code == 400
        answer = live.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    page = read(answer.text)
    assert page["servable_requests_total", (("code", "ok"), ("model", "linear"), ("version", "2"))] == 3
    assert page["servable_requests_total", (("code", "invalid_input"), ("model", "linear"), ("version", "2"))] == 1
    assert page["servable_requests_total", (("code", "invalid_input"), ("model", "mixed"), ("version", "1"))] == 2
    assert page["servable_doors_ready", ()] == 1
    assert page["process_resident_memory_bytes", (("door", "0"),)] > 1_000_000
