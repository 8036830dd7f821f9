"""`servable monitor`: the command around the overview."""

from __future__ import annotations

import time

from servable.domain.outcome import Outcome
from servable.monitoring.device_records import DeviceRecords
from servable.monitoring.outcomes import Outcomes
from servable.wire.device_records import DeviceRecord
from tests.packed import bundle_at


def test_what_devices_answered_and_what_became_of_it(command, tmp_path):
    command("models", "register", bundle_at(tmp_path / "b", factor=2))
    assert "nothing was recorded of scaler in 7 days" in command("monitor", "scaler").err
    now = time.time()
    records = [DeviceRecord(id, "1", now, [{"x": 1.0}], [{"y": 2.0}], share=0.5) for id in "abc"]
    DeviceRecords.at("", command.home, 90).take("scaler", "ada", [*records, DeviceRecord("old", "1", now - 9e5, [{}])])
    Outcomes.at("", command.home, 90).take([("scaler", "ada", Outcome(id, 2.5)) for id in "ab"])
    told = command("monitor", "scaler", "--success", "within=1", "--json").json
    (part,) = told["parts"]
    assert (part["target"], part["version"], part["records"], part["calls"], part["judged"]) == ("edge", "1", 3, 6, 2)
    shown = command("monitor", "scaler", "--success", "within=1", "--days", "30")
    assert shown.out.splitlines()[1].split("\t")[:4] == ["edge", "1", "4", "7"]
    assert "record_file" in shown.err
    failed = command("monitor", "scaler", "--success", "within=0.1", "--least", "0.9", code=1)
    assert "the share of successes is below 0.9: edge 1: 0.00%" in failed.err
    assert "success: expected" in command("monitor", "scaler", "--success", "well", code=2).err
    assert "no model 'other'" in command("monitor", "other", code=1).err
