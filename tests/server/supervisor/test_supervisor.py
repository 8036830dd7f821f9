"""The supervisor with real processes, sockets and signals; the doors are fake, so that each fault can be asked for."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.server.supervised import Load, Server, alive, eventually, get


def test_it_imports_no_model_library_and_no_server() -> None:
    code = "import sys, servable.server.supervisor.supervisor; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"numpy", "onnxruntime", "uvicorn", "uvloop", "starlette", "grpc", "google", "orjson", "httptools"}
    assert heavy & set(done.stdout.split()) == set()


def test_doors_share_one_port_and_inherit_no_words_of_the_service_manager(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2).ready() as server:
        seen: dict[int, int] = {}
        eventually(lambda: seen.update({(a := server.get())["slot"]: a["pid"]}) or len(seen) == 2)
        assert sorted(seen) == [0, 1]
        assert [seen[0], seen[1]] == server.pids()
        assert server.get()["environ"] == {}
        port = int(server.grpc.rpartition(":")[2]) if server.grpc else 0
        assert port > 0
        with socket.socket() as other, pytest.raises(OSError, match="in use"):  # reserved for the doors' gRPC
            other.bind(("127.0.0.1", port))


def test_a_killed_door_is_replaced_and_nobody_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2).ready() as server, Load(server.http) as load:
        first = server.pids()
        load.further()
        for _ in range(3):
            server.kill_door(0)
            load.further()
        assert server.pids()[1] == first[1]
        assert [door["replaced"] for door in server.doors()] == [3, 0]
        assert "door 0 was killed by SIGKILL; the next starts now" in server.log()
    assert "ConnectionRefusedError" not in load.errors()
    assert len(load.errors()) <= 3 * 4  # what the door held when it was killed: at most one request a client each time


def test_all_doors_killed_at_once_come_back_and_the_queue_waits(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2).ready() as server:
        pids = server.pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in pids))
        assert server.get()["pid"] not in pids


def test_quick_crashes_are_answered_with_growing_pauses_and_the_good_door_serves_on(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2).ready() as server:
        for _ in range(4):
            server.kill_door(0)
        assert re.findall(r"the next starts (.*)", server.log()) == ["now", "in 0.1 s", "in 0.2 s", "in 0.4 s"]


def test_many_replacements_leave_nothing_behind(tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        here = Path(f"/proc/{server.process.pid}")
        children = (here / f"task/{server.process.pid}/children").read_text().split()
        return len(list((here / "fd").iterdir())), len(children)

    with Server(tmp_path, workers=1, stable_s=0).ready() as server:
        server.pids()
        before = held()
        for _ in range(15):
            server.kill_door(0)
        assert held() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_accepted_requests_finish(tmp_path: Path, number: signal.Signals) -> None:
    with Server(tmp_path).ready() as server:
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(server.get("/sleep/1")))
        asking.start()
        eventually(lambda: any(server.get("/sleep/0")["ready"] for _ in range(2)))
        server.signal(number)
        assert server.ended() == 0
        asking.join()
        assert answers and not answers[0]["ready"]
        with pytest.raises(ConnectionRefusedError):
            server.get()


def test_while_the_drain_delay_lasts_doors_answer_that_they_are_not_ready(tmp_path: Path) -> None:
    with Server(tmp_path, drain_delay_s=1.0).ready() as server, Load(server.http) as load:
        load.further()
        server.signal(signal.SIGTERM)
        eventually(lambda: any(seen.answer and not seen.answer["ready"] for seen in load.history))
        assert server.ended() == 0


def test_a_second_signal_forces_the_end(tmp_path: Path) -> None:
    with Server(tmp_path).ready() as server:
        asking = _ask_and_lose(server, "/sleep/60")
        server.signal(signal.SIGTERM)
        eventually(lambda: "stopping" in server.log())
        server.signal(signal.SIGTERM)
        assert server.ended() == 1
        asking.join()
        assert "was killed by SIGKILL (a second signal) while stopping" in server.log()


def test_a_request_that_outlives_the_grace_is_cut_off(tmp_path: Path) -> None:
    with Server(tmp_path, grace_s=0.5).ready() as server:
        asking = _ask_and_lose(server, "/sleep/60")
        server.signal(signal.SIGTERM)
        assert server.ended() == 1
        asking.join()
        assert "not finished within 0.5 s" in server.log()


def test_a_stopped_process_is_replaced(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2, heartbeat_timeout_s=1).ready() as server:
        hung = server.pids()[0]
        os.kill(hung, signal.SIGSTOP)
        eventually(lambda: hung not in server.pids(), "another door in its place")
        assert not alive(hung)
        assert "no sign of life for" in server.log()


def test_a_door_that_says_it_is_stuck_is_replaced(tmp_path: Path) -> None:
    with Server(tmp_path, workers=1, heartbeat_timeout_s=1).ready() as server:
        stuck = server.get("/stuck")["pid"]
        eventually(lambda: stuck not in server.pids(), "another door in its place")
        assert not alive(stuck)
        assert "was killed by SIGKILL (a call hangs)" in server.log()


def test_doors_survive_a_supervisor_that_was_paused(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2, heartbeat_timeout_s=1).ready() as server:
        pids = server.pids()
        everybody = [*pids, server.process.pid]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(1.5)  # longer than the timeout: this is the fault itself, not a wait for an effect
        for pid in reversed(everybody):
            os.kill(pid, signal.SIGCONT)
        assert server.pids() == pids


def test_doors_die_with_their_supervisor_and_the_port_is_free_at_once(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2).ready() as server:
        pids = server.pids()
        server.process.kill()
        server.process.wait()
        with Server(tmp_path, workers=2, http_port=server.http[1]).ready() as heir:
            eventually(lambda: not any(alive(pid) for pid in pids))
            assert heir.http == server.http
            assert heir.get()["ready"]


def test_a_second_server_is_refused_the_port(tmp_path: Path) -> None:
    with Server(tmp_path).ready() as first, Server(tmp_path, http_port=first.http[1]) as second:
        assert second.ended() == 3
        assert f"port {first.http[1]}: it is in use" in second.log()
        assert "--http-port" in second.log()


def test_a_second_server_is_refused_the_home(tmp_path: Path) -> None:
    with Server(tmp_path).ready() as first, Server(tmp_path) as second:
        assert second.ended() == 3
        assert f"a server runs on {tmp_path} already (process {first.process.pid}" in second.log()
        assert "--home DIR" in second.log()
        assert first.get()["ready"]


def test_a_model_that_fails_at_the_start_ends_the_server_with_one_error(tmp_path: Path) -> None:
    with Server(tmp_path, {"m": "good", "n": "bad:it is a web page"}, workers=2) as server:
        assert server.ended() == 1
        assert server.log().count("n:1 cannot be served: it is a web page") == 1


def test_a_crash_at_the_start_ends_the_server(tmp_path: Path) -> None:
    with Server(tmp_path, {"m": "crash"}, workers=1) as server:
        assert server.ended() == 1
        assert "door 0 was killed by SIGSEGV before it was ready" in server.log()


def test_a_door_that_cannot_serve_says_why_and_its_exit_code_is_the_servers(tmp_path: Path) -> None:
    with Server(tmp_path, record_file="fail_to_start") as server:
        assert server.ended() == 3
        assert server.log().count("error: the fake door lacks a thing") == 1


def test_an_unreadable_plan_ends_the_start_before_any_door_serves(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.plan_file.write_text("{")
    with server:
        assert server.ended() == 2
        assert "is no JSON" in server.log()


def test_a_signal_while_models_load_ends_at_once(tmp_path: Path) -> None:
    with Server(tmp_path, {"m": "slow:60"}) as server:
        eventually(lambda: server.log().count("started") == 2)
        server.signal(signal.SIGTERM)
        assert server.ended() == 0


def test_the_dead_that_others_left_are_collected() -> None:
    code = """
import ctypes, os, subprocess, time
from servable.server.supervisor.child import reap_orphans
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us, as they do to process 1
ours = subprocess.Popen(["true"])
os.waitid(os.P_PID, ours.pid, os.WEXITED | os.WNOWAIT)
middle = subprocess.run(["sh", "-c", "sleep 0.2 & echo $!"], capture_output=True, text=True, check=True)
orphan = int(middle.stdout)
while not (state := open(f"/proc/{orphan}/stat").read().rpartition(")")[2].split()[0]) == "Z":
    time.sleep(0.01)
assert ours.wait() == 0
reap_orphans(set())
assert not os.path.exists(f"/proc/{orphan}")
reap_orphans(set())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def _ask_and_lose(server: Server, path: str) -> threading.Thread:
    """A request that is accepted and will not be answered."""

    def ask() -> None:
        with pytest.raises((OSError, ValueError)):
            get(server.http, path)

    asking = threading.Thread(target=ask)
    asking.start()
    # Accepted before the signal that follows: connections are served in their order, by either door.
    eventually(lambda: server.get("/sleep/0.05")["ready"])
    eventually(lambda: server.get("/sleep/0.05")["ready"])
    return asking
