"""Faults and changes of a real server under load, judged by the history of what its clients were answered."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.utils

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


def test_a_model_that_is_gone_at_a_reload_is_served_on(serving: Serving, model: Path) -> None:
    model.rename(model.with_suffix(".gone"))
    serving.send(signal.SIGHUP)
    eventually(lambda: "reload: there is no file or folder" in serving.log())
    assert serving.ask("GET", "/v2/models/line/ready")[0] == 200
    os.kill(serving.doors()[0], signal.SIGKILL)  # its heir cannot load what is not there
    eventually(lambda: "line:1 is not available" in serving.log())
    write_model(model, 1)
    assert serving.ask("POST", "/v2/repository/models/line/load")[0] == 200
    serving.all_ready(3)


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


def test_a_request_that_is_half_sent_at_the_signal_is_answered(serving: Serving) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [21.0]}
    body = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST /v2/models/line/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((serving.host, serving.port), timeout=30) as sock:
        sock.sendall(head + body[:10])
        serving.send(signal.SIGTERM)
        eventually(lambda: "stopping" in serving.log())
        sock.sendall(body[10:])
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"42.0" in answer
    assert serving.ended() == 0


def test_connections_that_idle_do_not_hold_up_the_end(serving: Serving) -> None:
    idle = [socket.create_connection((serving.host, serving.port), timeout=30) for _ in range(8)]
    for sock in idle[:4]:
        sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    serving.send(signal.SIGTERM)
    assert serving.ended() == 0
    for sock in idle:
        assert b"503" not in b"".join(iter(lambda sock=sock: sock.recv(4096), b""))  # closed in order, not reset
        sock.close()


def test_callers_of_grpc_see_nothing_of_reloads(serving: Serving, model: Path) -> None:
    client = tritonclient.grpc.InferenceServerClient(serving.grpc)
    tensor = tritonclient.grpc.InferInput("x", [1, 1], "FP32").set_data_from_numpy(np.array([[3.0]], np.float32))
    stop, failed, answers = threading.Event(), [], set()

    def call() -> None:
        while not stop.is_set():
            try:
                answers.add(float(client.infer("line", [tensor]).as_numpy("y")[0, 0]))
            except tritonclient.utils.InferenceServerException as error:
                failed.append(error)

    calling = threading.Thread(target=call)
    calling.start()
    for number in range(1, 6):
        write_model(model, number)
        serving.reload()
        eventually(lambda number=number: 6.0 + number in answers or failed)
    stop.set()
    calling.join()
    client.close()
    assert failed == []


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
