"""Records of devices: kept once an id, in the order in which they came, and let go of after their days."""

from __future__ import annotations

from pathlib import Path

from servable.monitoring.device_records import DeviceRecords
from servable.wire.device_records import DeviceRecord


def record(id: str, version: str = "1") -> DeviceRecord:
    return DeviceRecord(id, version, 1.8e9, [{"age": 40}], [{"label": "left"}])


def test_the_first_of_an_id_stays(tmp_path: Path) -> None:
    store = DeviceRecords.at("", tmp_path, days=90)
    assert store.after("m", 0, 10) == []
    assert not list(tmp_path.iterdir())  # nothing comes into being before the first write
    assert store.take("m", "ada", [record("b"), record("a"), record("b", "2")]) == [record("b"), record("a")]
    assert store.take("m", "ada", [record("a", "3"), record("c")]) == [record("c")]
    assert store.take("other", "ada", [record("a", "4")]) == [record("a", "4")]
    assert [(one.id, one.version) for _, one in store.after("m", 0, 10)] == [("b", "1"), ("a", "1"), ("c", "1")]
    place, _ = store.after("m", 0, 1)[0]
    assert [one.id for _, one in store.after("m", place, 1)] == ["a"]


def test_what_is_older_than_its_days_is_let_go(tmp_path: Path) -> None:
    DeviceRecords.at("", tmp_path, days=90).take("m", "ada", [record("old")])
    later = DeviceRecords.at("", tmp_path, days=0.0)
    later.take("m", "ada", [record("new")])
    assert [one.id for _, one in later.after("m", 0, 10)] == ["new"]
