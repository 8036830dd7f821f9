"""What was answered on the server and on devices, side by side: told apart, weighted, joined with outcomes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.field import Field
from servable.domain.outcome import Outcome
from servable.domain.record import Records
from servable.domain.signature import Signature
from servable.domain.success import Success
from servable.errors import EnvironmentFault
from servable.monitoring.device_lines import line
from servable.monitoring.device_records import DeviceRecords
from servable.monitoring.json_lines import JsonLines
from servable.monitoring.outcomes import Outcomes
from servable.monitoring.overview import of_devices, of_server, overview, standing_of
from servable.wire.device_records import DeviceRecord

SIGNATURE = Signature(
    (Field("age", "INT64", (-1, 1)), Field("x", "FP32", (-1, 2), features=("a", "b"))),
    (Field("label", "BYTES"), Field("p", "FP32", (-1, 2), features=("no", "yes"))),
)
BUNDLE = Bundle(Path("/none"), Manifest("m", "fake", "m", "fake", SIGNATURE, (), labels={"p": ["no", "yes"]}), "0")
CORRECT = Success("correct")


def on_device(id: str, *labels: str, share: float = 1.0, error: str = "", time: float = 1000.0) -> DeviceRecord:
    outputs = [{"label": label, "p": {"no": 0.5, "yes": 0.5}} for label in labels]
    return DeviceRecord(id, "1", time, [{"age": 40}] * max(1, len(labels)), None if error else outputs, error, share)


def on_server(path: Path, *ids: str, label: str = "yes") -> None:
    """As a door writes them."""
    count = len(ids)
    inputs = Batch({"age": np.full((count, 1), 40), "x": np.zeros((count, 2), np.float32)})
    outputs = Batch({"label": np.array([label] * count, object), "p": np.full((count, 2), 0.5, np.float32)})
    sink = JsonLines(path)
    sink.write([Records("m", "1", 1000.0, 0.1, ids, range(count), [1] * count, [0.0] * count, inputs, outputs)])
    sink.close()


def told(tmp_path: Path, devices: list[DeviceRecord], outcomes: dict[str, Any]) -> list[Any]:
    store, kept = (of.at("", tmp_path / "home", 36_500.0) for of in (Outcomes, DeviceRecords))
    kept.take("m", "ada", devices)
    store.take([("m", "ada", Outcome(id, value)) for id, value in outcomes.items()])
    bundles = {"1": BUNDLE}
    lines = list(of_devices(kept, "m", 500.0, bundles))
    if (tmp_path / "records.jsonl").exists():
        lines += of_server(tmp_path / "records.jsonl", "m", 500.0)
    return overview(lines, standing_of(store, "m", lines), bundles, CORRECT)


def test_both_are_told_apart(tmp_path: Path) -> None:
    on_server(tmp_path / "records.jsonl", "s1", "s2", "s3")
    devices = [on_device("d1", "yes"), on_device("d2", "yes", "no"), on_device("old", "yes", time=1.0)]
    edge, server = told(tmp_path, devices, {"s1": "yes", "s2": "no", "d1": "no", "d2/0": "yes", "d2/1": "no"})
    assert (edge.target, edge.version, edge.records, edge.judged) == ("edge", "1", 2, 3)
    assert edge.success[0] == pytest.approx(2 / 3)
    assert (server.target, server.records, server.judged, server.success[0]) == ("server", 3, 2, 0.5)


def test_a_record_counts_for_the_calls_it_stands_for(tmp_path: Path) -> None:
    devices = [on_device("a", "yes", share=0.1), on_device("b", "yes"), on_device("c", error="refused", share=0.1)]
    (edge,) = told(tmp_path, devices, {"a": "yes", "b": "no"})
    assert (edge.calls, edge.refused, edge.failed) == (21, pytest.approx(10 / 21), 0)
    share, low, high = edge.success
    assert share == pytest.approx(10 / 11)
    assert low < share < high
    (equal,) = told(tmp_path / "equal", [on_device("a", "yes"), on_device("b", "yes")], {"a": "yes", "b": "no"})
    assert high - low > (equal.success[2] - equal.success[1]) * 0.9  # one heavy record tells little


def test_without_an_outcome_there_is_no_share(tmp_path: Path) -> None:
    (edge,) = told(tmp_path, [on_device("a", "yes")], {"stranger": "yes"})
    assert (edge.judged, edge.success) == (0, None)


def test_a_version_that_is_gone_is_counted_all_the_same(tmp_path: Path) -> None:
    store = DeviceRecords.at("", tmp_path, 36_500.0)
    store.take("m", "ada", [on_device("a", "yes")])
    lines = list(of_devices(store, "m", 0.0, {}))
    (part,) = overview(lines, {"a": Outcome("a", 1)}, {}, CORRECT)
    assert (part.records, part.judged) == (1, 0)
    (part,) = overview(lines, {"a": Outcome("a", 1)}, {}, Success("outcome"))
    assert part.success is not None and math.isclose(part.success[0], 1.0)


def test_lines_are_those_of_a_server_with_a_label(tmp_path: Path) -> None:
    on_server(tmp_path / "records.jsonl", "s1")
    sink = JsonLines(tmp_path / "records.jsonl")
    sink.append([line("m", on_device("d1", "yes", share=0.25), SIGNATURE)])
    sink.close()
    ours, theirs = map(json.loads, (tmp_path / "records.jsonl").read_text().splitlines())
    assert (theirs["target"], theirs["weight"], "target" in ours) == ("edge", 4.0, False)
    assert theirs["outputs"] == {"label": ["yes"], "p": [[0.5, 0.5]]} | {"label": theirs["outputs"]["label"]}
    assert theirs["inputs"] == {"age": [[40]]}  # of `x` not every column was sent
    assert [one["id"] for one in of_server(tmp_path / "records.jsonl", "m", 0.0)] == ["s1"]


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("no json\n")
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        list(of_server(tmp_path / "records.jsonl", "m", 0.0))
