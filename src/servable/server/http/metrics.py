"""Metrics: what every door has done, as Prometheus' text.

Rendered when asked for, from plain counters; the hot path knows nothing of it. What each door tells of itself
(`report.py`) comes here from all of them and is added up, so that a scrape of one port tells of the whole. Labels are
names of models, versions and error codes: as many as are served and written in the code, never what a caller sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from servable.engine.stats import BOUNDS_S, NS
from servable.server.http.exposition import Buckets, Page, cumulative
from servable.server.http.learning_metrics import add_learning
from servable.server.http.route_metrics import add_routes
from servable.server.http.table_metrics import add_tables
from servable.version import __version__

MOST_VERSIONS: Final = 1000
"""Versions shown; further ones are only counted in `servable_versions_not_shown`."""
BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
TRITON: Final = {
    "nv_inference_request_success": ("counter", "success", 1),
    "nv_inference_count": ("counter", "rows", 1),
    "nv_inference_exec_count": ("counter", "executions", 1),
    "nv_inference_request_duration_us": ("counter", "request_ns", 1000),
    "nv_inference_queue_duration_us": ("counter", "queue_ns", 1000),
    "nv_inference_compute_input_duration_us": ("counter", "input_ns", 1000),
    "nv_inference_compute_infer_duration_us": ("counter", "compute_ns", 1000),
    "nv_inference_compute_output_duration_us": ("counter", "output_ns", 1000),
    "nv_inference_pending_request_count": ("gauge", "pending", 1),
}
"""Triton's metric names to the counter behind each and its divisor: dashboards and autoscalers ask for them."""

Snapshot = Mapping[str, Any]
Versions = dict[tuple[str, str], dict[str, Any]]


def render(snapshots: Sequence[Snapshot]) -> str:
    """Prometheus' text for the doors of these snapshots, added up.

    One with `"past": true` tells of doors that are gone (`tally.py`): what they did counts, what they held does not.
    """
    alive = [door for door in snapshots if not door.get("past")]
    page = Page()
    page.add("servable_build_info", "gauge", "The version that serves.", [({"version": __version__}, 1)])
    page.add("servable_doors", "gauge", "Processes that answer.", [({}, len(alive))])
    page.add("servable_doors_ready", "gauge", "Of these, those that are ready.", [({}, sum(d["ready"] for d in alive))])
    versions = _summed(snapshots)
    shown = dict(list(versions.items())[:MOST_VERSIONS])
    hidden = len(versions) - len(shown)
    page.add("servable_versions_not_shown", "gauge", "Versions past the limit of this page.", [({}, hidden)])
    _per_version(page, shown)
    _triton(page, shown)
    add_routes(page, snapshots)
    add_learning(page, snapshots)
    add_tables(page, snapshots)
    for queue, of in (("records", "Records of predictions"), ("answers", "Rows of answers that wait for outcomes")):
        for name, what in (
            ("taken", "handed to the sink's queue."),
            ("dropped", "dropped because the sink lagged behind."),
            ("failed", "lost because the sink failed."),
        ):
            total = sum((door.get(queue) or {}).get(name, 0) for door in snapshots)
            page.add(f"servable_{queue}_{name}_total", "counter", f"{of} {what}", [({}, total)])
    for name, key, kind, what in (
        ("process_resident_memory_bytes", "rss_bytes", "gauge", "Memory held"),
        ("process_cpu_seconds_total", "cpu_s", "counter", "Processor time used"),
        ("process_open_fds", "open_fds", "gauge", "Open files and sockets"),
        ("process_start_time_seconds", "started", "gauge", "When it started, in seconds since the epoch"),
    ):
        values = [({"door": str(door["slot"])}, door[key]) for door in alive]
        page.add(name, kind, f"{what}, by door.", values)
    return page.text()


def _per_version(page: Page, versions: Versions) -> None:
    labels = {key: {"model": key[0], "version": key[1]} for key in versions}
    outcomes = [
        (labels[key] | {"code": code}, count)
        for key, stats in versions.items()
        for code, count in [("ok", stats["success"]), *sorted(stats["failure"].items())]
    ]
    page.add("servable_requests_total", "counter", "Requests by outcome: ok, or the code of the error.", outcomes)
    rules = [
        (labels[key] | dict(zip(("rule", "action", "severity"), name.split(" "), strict=True)), rows)
        for key, stats in versions.items()
        for name, rows in sorted(stats["rules"].items())
    ]
    page.add("servable_rule_rows_total", "counter", "Rows where a rule fired.", rules)
    for name, kind, key, scale, what in (
        ("cancelled_total", "counter", "cancelled", 1, "Requests whose caller went away."),
        ("rows_total", "counter", "rows", 1, "Rows answered."),
        ("executions_total", "counter", "executions", 1, "Model calls."),
        ("queue_seconds_total", "counter", "queue_ns", NS, "Time that answered requests waited for the model."),
        ("compute_seconds_total", "counter", "compute_ns", NS, "Time spent in model calls."),
        ("in_flight", "gauge", "pending", 1, "Requests let in and not answered yet."),
        ("loaded", "gauge", "loaded", 1, "Doors in which the version is loaded."),
        ("circuit_opened_total", "counter", "circuit_opened", 1, "Times that a version was left alone."),
        ("prompt_tokens_total", "counter", "prompt_tokens", 1, "Tokens of prompts that were answered."),
        ("tokens_total", "counter", "tokens", 1, "Tokens of text that were made."),
    ):
        values = [(labels[key_], stats[key] / scale if scale != 1 else stats[key]) for key_, stats in versions.items()]
        page.add(f"servable_{name}", kind, what, values)
    page.histogram(
        "servable_request_seconds",
        "Time from the decoded request to its answer.",
        [(labels[key], cumulative(BOUNDS_S, s["buckets"]), s["request_ns"] / NS) for key, s in versions.items()],
    )
    page.histogram(
        "servable_batch_rows",
        "Rows in a model call; above 16 rounded up to a power of two.",
        [(labels[key], *_batches(s["batch_sizes"])) for key, s in versions.items()],
    )


def _triton(page: Page, versions: Versions) -> None:
    labels = {key: {"model": key[0], "version": key[1]} for key in versions}
    for name, (kind, key, divisor) in TRITON.items():
        values = [(labels[key_], stats[key] // divisor) for key_, stats in versions.items()]
        page.add(name, kind, "As Triton counts it.", values)
    failures = [
        (labels[key] | {"reason": code}, count)
        for key, stats in versions.items()
        for code, count in sorted(stats["failure"].items())
    ]
    page.add("nv_inference_request_failure", "counter", "As Triton counts it.", failures)


def _summed(snapshots: Iterable[Snapshot]) -> Versions:
    """The counters of each version, over all doors. Gauges of doors that are gone are left out."""
    versions: Versions = {}
    for door in snapshots:
        past = bool(door.get("past"))
        for model in door["models"]:
            key = (model["name"], model["version"])
            empty = {
                "failure": defaultdict(int),
                "rules": defaultdict(int),
                "batch_sizes": defaultdict(int),
                "loaded": 0,
            }
            total = versions.setdefault(key, empty)
            total["loaded"] += 0 if past else 1
            for name, value in model["stats"].items():
                if name in {"failure", "rules"}:
                    for code, count in value.items():
                        total[name][code] += count
                elif name == "batch_sizes":
                    for size, (count, _) in value.items():
                        total["batch_sizes"][int(size)] += count
                elif name == "buckets":
                    total[name] = [a + b for a, b in zip(total.get(name, [0] * len(value)), value, strict=True)]
                elif isinstance(value, int):
                    total[name] = total.get(name, 0) + (0 if past and name == "pending" else value)
    return dict(sorted(versions.items()))


def _batches(sizes: Mapping[int, int]) -> tuple[Buckets, float]:
    counts = [0] * (len(BATCH_BOUNDS) + 1)
    for size, count in sizes.items():
        counts[sum(size > bound for bound in BATCH_BOUNDS)] += count
    return cumulative(BATCH_BOUNDS, counts), float(sum(size * count for size, count in sizes.items()))
