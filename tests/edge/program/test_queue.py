"""What a program answered comes home: sampled, without the columns that must stay, each once, after any outage."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from servable.edge.bare_python import bare_python
from servable.edge.export import export
from servable.edge.life import life_of
from servable.edge.program.queue import Queue
from servable.edge.program.settings import Settings
from servable.errors import EnvironmentFault
from servable.monitoring.device_records import DeviceRecords
from servable.monitoring.outcomes import Outcomes
from tests.e2e.serving import Serving, eventually
from tests.edge.updating import Publisher

pytestmark = pytest.mark.timeout(300)
ROW = {"age": 40, "income": 2500, "city": "north", "kind": "a"}
NOWHERE = "http://127.0.0.2:9/"


def queue(folder: Path, **more: Any) -> Queue:
    return Queue(Settings("loan", server=NOWHERE, share=1.0, columns=("age",), **more), folder)


def waiting(folder: Path) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]


def test_what_waits_is_bounded_and_outcomes_stay(tmp_path: Path) -> None:
    own = queue(tmp_path, most=3)
    own.tell("first", 1, 0.0, 0)
    for asked in range(5):
        own.keep(str(asked), "1", [ROW], [{"prediction": 1.0}])
    assert [entry["id"] for entry in waiting(tmp_path)] == ["first", "3", "4"]
    assert waiting(tmp_path)[1]["inputs"] == [{"age": 40}]
    own.keep("x" * 200, "1", [ROW], None)  # no server would take it
    assert own.send() == 3


def test_where_there_is_no_room_outcomes_are_told_so(tmp_path: Path) -> None:
    (tmp_path / "waiting").write_text("a file in the place of the folder")
    own = queue(tmp_path / "waiting")
    own.keep("a", "1", [ROW], None)  # nobody was promised that
    with pytest.raises(EnvironmentFault, match="there is no room for the outcome of 'a'"):
        own.tell("a", 1, 0.0, 0)


@pytest.mark.faults
def test_records_and_outcomes_come_home_after_an_outage(world: Publisher, packed: Path, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    life = life_of(server=f"http://127.0.0.1:{port}", share=1, columns=["age", "kind"])
    export(world.predictor, "1", tmp_path / "desk", target="desktop", proof=False, life=life)
    (tmp_path / "rows.json").write_text(json.dumps([ROW]))
    with bare_python() as (python, environment):
        program = [*python, tmp_path / "desk" / "app.pyz"]
        command = [*program, "predict", "--input", tmp_path / "rows.json"]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
        (entry,) = waiting(tmp_path / "desk" / "app.kept" / "waiting")
        assert (entry["inputs"], entry["share"]) == ([{"age": 40, "kind": "a"}], 1)
        with (
            Serving(tmp_path, packed, workers=1, http_port=port) as server,
            subprocess.Popen(
                [*program, "serve", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
            ) as door,
        ):
            server.ready()
            assert door.stdout is not None
            url = f"{door.stdout.readline().strip()}/v2/models/loan"
            try:
                assert asked(f"{url}/infer", {"id": "mine", "rows": [ROW]})[0] == 200
                assert asked(f"{url}/infer", {"id": "young", "rows": [{**ROW, "age": 17}]})[0] == 422
                told = asked(f"{url}/feedback", {"outcomes": [{"id": "mine", "outcome": 412.5}]})
                assert told == (202, {"model_name": "loan", "accepted": 1})
                assert asked(f"{url}/feedback", {"outcomes": []})[0] == 400
                eventually(lambda: not waiting(tmp_path / "desk" / "app.kept" / "waiting"), "all of it to be sent")
            finally:
                door.send_signal(signal.SIGTERM)
                assert door.wait(timeout=60) == 0
    records = [record for _, record in DeviceRecords.at("", tmp_path / "home", days=90).after("loan", 0, 9)]
    assert [(record.id, record.error) for record in records[1:]] == [("mine", ""), ("young", "refused")]
    assert records[0].outputs is not None and records[0].id == entry["id"]
    (outcome,) = Outcomes.at("", tmp_path / "home", 90).outcomes_of("loan", ["mine"])
    assert outcome.outcome.outcome == 412.5


def asked(url: str, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
