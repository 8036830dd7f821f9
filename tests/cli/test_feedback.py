from __future__ import annotations

import pytest

from servable.domain.outcome import Outcome
from servable.monitoring.device_records import DeviceRecords
from servable.monitoring.intake import Intake
from servable.monitoring.outcomes import Outcomes
from servable.monitoring.routes import Asked, routes
from servable.server.http.parts import Offer
from tests.packed import scaler
from tests.server.rest_served import served


@pytest.fixture
def store(tmp_path):
    return Outcomes.at("", tmp_path / "served", days=90.0)


@pytest.fixture
def url(tmp_path, store):
    devices = DeviceRecords.at("", tmp_path / "served", days=90.0)

    def offers(parts):
        def find(name):
            serving = parts.router.pick(name)
            return Asked(serving.version, serving.signature, kept=False, teach=None)

        pairs = routes(Intake(lambda: store), find, lambda _: "ada", lambda: devices, lambda: None)
        return [Offer(*pair) for pair in pairs]

    with served(tmp_path / "served", {"m": {"1": scaler(tmp_path / "m.onnx")}}, offers=offers) as door:
        yield door.url


def test_a_file_of_any_kind_is_sent(command, tmp_path, url, store):
    (tmp_path / "a.csv").write_text("id,outcome,time,clinic\n7,1,2026-01-01,north\nb,yes,,south\n")
    (tmp_path / "b.jsonl").write_text('{"id": "c", "outcome": true, "version": 2}\n')
    assert command("feedback", "m", "--file", tmp_path / "a.csv", "--url", url).out == "outcomes accepted: 2\n"
    told = command("feedback", "m", "--file", tmp_path / "b.jsonl", "--url", url, "--json").json
    assert told == {"accepted": 1, "unknown": []}
    assert [told.outcome for told in store.outcomes_of("m", ["7", "b", "c"])] == [
        Outcome("7", 1, 1767225600.0),
        Outcome("b", "yes"),
        Outcome("c", True, version=2),
    ]


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("id,outcome\n", 2, "holds no outcomes"),
        ("key,outcome\na,1\n", 2, "expected columns 'id' and 'outcome'"),
        ("id,outcome\na,\n", 2, "expected columns 'id' and 'outcome'"),
        ("id,outcome,time\na,1,noon\n", 1, "ISO 8601"),
    ],
)
def test_what_cannot_be_meant_is_told(command, tmp_path, url, content, code, said):
    (tmp_path / "a.csv").write_text(content)
    assert said in command("feedback", "m", "--file", tmp_path / "a.csv", "--url", url, code=code).err


def test_no_server_is_told(command, tmp_path):
    (tmp_path / "a.csv").write_text("id,outcome\na,1\n")
    told = command("feedback", "m", "--file", tmp_path / "a.csv", "--url", "http://127.0.0.1:9", code=3)
    assert "is the server up?" in told.err
