"""Faults and changes of a real server under load, judged by the history of what its clients were answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.serving import Load, Serving, alive, eventually, write_model

CLIENTS = 4


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "line.onnx", 0)


@pytest.fixture
def serving(tmp_path: Path, model: Path) -> Iterator[Serving]:
    with Serving(tmp_path, model, workers=2) as serving:
        yield serving.ready()


def test_a_killed_door_loses_only_what_it_held_and_is_replaced(serving: Serving) -> None:
    kills = 3
    with Load(serving, CLIENTS) as load:
        load.further()
        for count in range(kills):
            os.kill(serving.doors()[0], signal.SIGKILL)
            serving.all_ready(3 + count)
            load.further()
        healed = len(load.history)
        load.further()
    outcomes = [seen.outcome for seen in load.failed()]
    assert len(outcomes) <= kills * CLIENTS  # one request a client, if that door had them all
    assert "ConnectionRefusedError" not in outcomes
    assert not any(isinstance(outcome, int) for outcome in outcomes), "a door that is not ready has answered"
    assert [seen for seen in load.history[healed:] if seen.outcome != 200] == []


def test_a_server_of_one_door_lets_callers_wait_while_it_is_replaced(tmp_path: Path, model: Path) -> None:
    with Serving(tmp_path, model, workers=1).ready() as serving, Load(serving, CLIENTS) as load:
        load.further()
        os.kill(serving.doors()[0], signal.SIGKILL)
        load.further()
        outcomes = [seen.outcome for seen in load.failed()]
        assert len(outcomes) <= CLIENTS
        assert "ConnectionRefusedError" not in outcomes
        assert not any(isinstance(outcome, int) for outcome in outcomes), "a door that is not ready has answered"


def test_a_stopped_door_is_replaced_and_the_rest_answers(tmp_path: Path, model: Path) -> None:
    with Serving(tmp_path, model, workers=2, heartbeat_timeout_s=2).ready() as serving, Load(serving, CLIENTS) as load:
        load.further()
        hung = serving.doors()[0]
        os.kill(hung, signal.SIGSTOP)
        eventually(lambda: not alive(hung))
        serving.all_ready(3)
        load.further()
        assert len(load.failed()) <= CLIENTS


@pytest.mark.parametrize(
    "times", [20, pytest.param(100, marks=pytest.mark.faults)], ids=["twenty times", "a hundred times"]
)
def test_rolling_reloads_under_load_fail_no_request(serving: Serving, model: Path, times: int) -> None:
    with Load(serving, CLIENTS) as load:
        for number in range(1, times + 1):
            write_model(model, number)
            serving.reload()
            load.further(5)
        assert load.failed() == []
    assert load.history[-1].offset == times
    assert len(load.offsets()) > times // 2


def test_a_broken_model_is_not_taken_up_and_the_old_answers_on(serving: Serving, model: Path) -> None:
    with Load(serving, CLIENTS) as load:
        good = model.read_bytes()
        model.write_bytes(b"<!DOCTYPE html><html>not found</html>")
        serving.send(signal.SIGHUP)
        eventually(lambda: "what served before still serves" in serving.log())
        load.further()
        model.write_bytes(good[: len(good) // 2])
        status, answer = serving.ask("POST", "/v2/repository/models/line/load")
        assert status == 422
        assert "line:1" in answer["error"]
        load.further()
        assert serving.ask("GET", "/v2/health/ready")[0] == 200
        write_model(model, 7)
        assert serving.ask("POST", "/v2/repository/models/line/load")[0] == 200
        before = len(load.history)
        load.further()
        assert load.failed() == []
        assert {seen.offset for seen in load.history[before + CLIENTS :]} == {7.0}


def test_the_repository_api_changes_all_doors_before_it_answers(serving: Serving) -> None:
    assert serving.ask("POST", "/v2/repository/models/line/unload")[0] == 200
    for _ in range(8):  # connections of their own reach either door
        assert serving.ask("GET", "/v2/models/line")[0] in {400, 404}
    assert serving.ask("POST", "/v2/repository/models/line/load")[0] == 200
    for _ in range(8):
        assert serving.ask("GET", "/v2/models/line")[0] == 200
    assert serving.ask("POST", "/v2/repository/models/nobody/load")[0] == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_fails_nothing_that_was_accepted(serving: Serving, number: signal.Signals) -> None:
    with Load(serving, CLIENTS) as load:
        load.further()
        serving.send(number)
        assert serving.ended() == 0
        eventually(lambda: sum(seen.outcome == "ConnectionRefusedError" for seen in load.failed()) >= CLIENTS)
    # After the end everybody is refused, which is no answer lost; before it nobody may be.
    assert {seen.outcome for seen in load.failed()} == {"ConnectionRefusedError"}


def test_a_drain_delay_turns_away_balancers_before_callers(tmp_path: Path, model: Path) -> None:
    with Serving(tmp_path, model, workers=2, drain_delay_s=2).ready() as serving, Load(serving, CLIENTS) as load:
        assert serving.ask("GET", "/v2/health/ready")[0] == 200
        serving.send(signal.SIGTERM)
        eventually(lambda: serving.ask("GET", "/v2/health/ready")[0] == 503)
        assert serving.ask("GET", "/v2/health/live")[0] == 200
        load.further()
        assert load.failed() == []
        assert serving.ended() == 0


def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path: Path) -> None:
    page = tmp_path / "line.onnx"
    page.write_bytes(b"<!DOCTYPE html><html>not found</html>")
    with Serving(tmp_path, page) as serving:
        assert serving.ended() == 1
        assert serving.log().count("HTML") >= 1
        assert "Traceback" not in serving.log()


def test_doors_die_with_their_supervisor(serving: Serving) -> None:
    doors = serving.doors()
    assert len(doors) == 2
    serving.process.kill()
    eventually(lambda: not any(alive(door) for door in doors))


def test_a_second_server_is_told_that_the_port_is_taken(serving: Serving, tmp_path: Path, model: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with Serving(other, model, http_port=serving.port) as second:
        assert second.ended() == 3
        assert f"port {serving.port}: it is in use" in second.said()["error"]
