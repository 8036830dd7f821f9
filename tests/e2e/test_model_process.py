"""A model process does its worst, or has the worst done to it: doors, other models and other callers go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.custom import HOSTILE, custom
from tests.e2e.serving import Load, Serving, alive, eventually, write_model

HOSTILE_NAME = "hostile"


class Hostile:
    """A server with a hostile model in a process of its own, and an ONNX model `line` in the doors."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    def ask(self, do: str, x: float = 1.0, timeout_s: float = 20.0) -> tuple[int, Any]:
        """Status, and what the model said (or the error's body). The number must come back doubled."""
        tensors = [
            {"name": "do", "datatype": "BYTES", "shape": [1], "data": [do]},
            {"name": "x", "datatype": "FP64", "shape": [1], "data": [x]},
        ]
        body = {"inputs": tensors, "parameters": {"timeout": int(timeout_s * 1e6)}}
        status, answer = self.serving.ask("POST", f"/v2/models/{HOSTILE_NAME}/infer", body)
        if status != 200:
            return status, answer
        outputs = {output["name"]: output["data"][0] for output in answer["outputs"]}
        assert outputs["y"] == 2 * x
        return status, outputs["said"]

    def said(self, do: str) -> str:
        status, said = self.ask(do)
        assert status == 200, said
        return str(said)

    def pid(self) -> int:
        return int(self.said("pid"))

    def doors(self) -> list[int]:
        """The pids of the processes that are doors."""
        return [pid for pid in self.serving.doors() if b"servable.app" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    folder = tmp_path_factory.mktemp("hostile")
    bundle = custom(folder / "bundle", HOSTILE, HOSTILE_NAME)
    line = write_model(folder / "line.onnx", 1.0)
    with Serving(folder, bundle, line, workers=2, heartbeat_timeout_s=2) as serving:
        serving.ready()
        server = Hostile(serving)
        doors = server.doors()
        run_folder = Path(server.said("home")).parents[1]
        assert run_folder.name.startswith("servable-run-")
        yield server
        assert server.doors() == doors, "a door died with a model process"
        with Load(serving, 1) as load:
            load.further(20)
        serving.send(signal.SIGTERM)
        assert serving.ended() == 0
        assert not run_folder.exists()


def test_two_doors_share_one_process(hostile: Hostile) -> None:
    assert len({hostile.pid() for _ in range(20)}) == 1


@pytest.mark.parametrize(
    "attempt",
    [
        "read /etc/shadow", "list /root", "list /home", "list /proc/1", "thread /etc/shadow", "write /tmp/was-here",
        "fork", "exec /bin/true", "kill", "ptrace",
    ],
)  # fmt: skip
def test_the_sandbox_refuses(hostile: Hostile, attempt: str) -> None:
    said = hostile.said(attempt)
    assert "PermissionError" in said or "Operation not permitted" in said, said


def test_the_sandbox_refuses_the_network(hostile: Hostile) -> None:
    assert "PermissionError" in hostile.said(f"connect 127.0.0.1:{hostile.serving.port}")


def test_a_model_may_write_to_its_scratch_folder_and_sees_no_secrets(hostile: Hostile) -> None:
    assert hostile.said("scratch") == "here"
    assert "SERVABLE" not in hostile.said("environ")


def test_the_layers_of_the_sandbox_are_told(hostile: Hostile) -> None:
    assert "landlock" in hostile.serving.log()
    assert "seccomp" in hostile.serving.log()


def test_an_exception_is_told_without_its_words(hostile: Hostile) -> None:
    status, body = hostile.ask("raise")
    assert status == 500
    assert body["code"] == "model_failed"
    assert "RuntimeError" in body["error"]
    assert "secret" not in body["error"]


def test_an_answer_with_too_few_rows_is_refused(hostile: Hostile) -> None:
    status, body = hostile.ask("short")
    assert (status, body["code"]) == (500, "model_failed")
    assert "rows" in body["error"]


def test_a_killed_process_is_replaced_and_an_idle_death_fails_nothing(hostile: Hostile) -> None:
    before = hostile.pid()
    os.kill(before, signal.SIGKILL)
    assert hostile.pid() != before


def test_a_process_killed_in_a_call_costs_its_caller_nothing(hostile: Hostile) -> None:
    before = hostile.pid()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(hostile.ask, "sleep 0.5", 21.0)
        time.sleep(0.2)
        os.kill(before, signal.SIGKILL)
        assert waiting.result() == (200, "done")
    assert hostile.pid() != before


@pytest.mark.parametrize("death", ["exit 3", "exit 0", "segfault", "abort"])
def test_an_input_that_kills_twice_is_refused_and_nobody_else_suffers(hostile: Hostile, death: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        deadly = pool.submit(hostile.ask, death)
        others = [pool.submit(hostile.ask, "sleep 0.05", float(number)) for number in range(3)]
        status, body = deadly.result()
        assert (status, body["code"]) == (500, "deadly_input"), body
        assert "twice" in body["error"]
        assert [other.result() for other in others] == [(200, "done")] * 3

    def calm() -> bool:
        pids = set()
        for _ in range(6):
            pids |= {hostile.pid(), hostile.pid()}
            assert hostile.ask(death)[0] == 500
        return pids == {hostile.pid()}

    # One door knows by now; the other learns it when chance leads the input there. Then it reaches no process any more.
    eventually(calm, "a process that lives on")
    # However often it is sent, it opens no circuit for others.
    assert {hostile.ask(death)[1]["code"] for _ in range(30)} == {"deadly_input"}
    assert hostile.ask("sleep 0.01", 1.0) == (200, "done")


@pytest.mark.parametrize("endless", ["loop", "hog 60"])
def test_an_endless_call_is_ended_at_its_deadline(hostile: Hostile, endless: str) -> None:
    before = hostile.pid()
    status, body = hostile.ask(endless, timeout_s=0.5)
    assert (status, body["code"]) == (504, "deadline_exceeded")
    assert hostile.pid() != before


def test_a_stopped_process_is_replaced_and_its_late_answer_is_nobodys(hostile: Hostile) -> None:
    before = hostile.pid()
    os.kill(before, signal.SIGSTOP)
    status, body = hostile.ask("sleep 0.01", 77.0, timeout_s=0.5)
    assert (status, body["code"]) in {(504, "deadline_exceeded"), (503, "not_ready")}
    assert hostile.ask("", 78.0) == (200, "")
    eventually(lambda: not alive(before), "the end of the stopped process")


def test_an_idle_stopped_process_is_noticed(hostile: Hostile) -> None:
    before = hostile.pid()
    os.kill(before, signal.SIGSTOP)
    eventually(lambda: not alive(before), "the watchdog")
    assert hostile.pid() != before


def test_sys_exit_in_a_call_is_contained(hostile: Hostile) -> None:
    before = hostile.pid()
    status, body = hostile.ask("sys.exit 4")
    assert status == 500
    assert "SystemExit" in body["error"]
    assert hostile.pid() == before


def test_other_models_go_on_while_the_process_dies_again_and_again(hostile: Hostile) -> None:
    stop = threading.Event()

    def killer() -> None:
        while not stop.is_set():
            for pid in hostile.serving.doors():
                if b"process.main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
            stop.wait(0.1)

    thread = threading.Thread(target=killer)
    with Load(hostile.serving, 2) as load:
        thread.start()
        load.further(200)
        assert hostile.ask("", timeout_s=0.3)[0] in {503, 504}
        assert hostile.serving.ask("GET", "/v2/health/live")[0] == 200
        stop.set()
        thread.join()
        assert load.failed() == []
    eventually(lambda: hostile.ask("")[0] == 200, "the return of the model")
    eventually(lambda: hostile.serving.ask("GET", "/v2/health/ready")[0] == 200, "readiness")


def test_a_leaking_process_is_recycled_without_a_lost_request(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", HOSTILE, HOSTILE_NAME)
    with Serving(tmp_path, bundle, workers=1, process_recycle_bytes=300 << 20, heartbeat_timeout_s=0.5) as serving:
        server = Hostile(serving.ready())
        seen = {server.pid()}
        for number in range(600):
            status, said = server.ask("leak 2000000", float(number))
            assert (status, said) == (200, "done")
            if number % 20 == 0:
                seen.add(server.pid())
            if len(seen) > 2:
                break
        assert len(seen) > 1
        assert "it is replaced" in serving.log()


def test_a_process_out_of_memory_fails_its_call_alone(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", HOSTILE, HOSTILE_NAME)
    with Serving(tmp_path, bundle, workers=1, process_limit_bytes=2 << 30) as serving:
        server = Hostile(serving.ready())
        assert server.said("memory 1000000") == "1000000"
        status, body = server.ask("memory 4000000000")
        assert (status, body["code"]) == (500, "model_failed")
        assert "MemoryError" in body["error"]


def test_an_answer_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    source = HOSTILE.replace('"y": "FP64"', '"y": "FP64 [-1]", "big": "UINT8 [-1, -1]"').replace(
        'return {"y": y,',
        'return {"big": np.zeros((len(y), 20_000_000 if "big" in batch["do"] else 1), np.uint8), "y": y,',
    )
    bundle = custom(tmp_path / "bundle", source, HOSTILE_NAME)
    with Serving(tmp_path, bundle, workers=1, max_answer_bytes=1_000_000) as serving:
        server = Hostile(serving.ready())
        assert server.said("") == ""
        status, body = server.ask("big")
        assert (status, body["code"]) == (500, "model_failed")
        assert "max_answer_bytes" in body["error"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import os; os._exit(7)", "exited with code 7"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("raise ValueError('no luck')", "no luck"),
        ("open('/etc/shadow')", "Permission denied"),
    ],
)
def test_a_model_that_dies_while_loading_keeps_the_server_from_starting(tmp_path: Path, source: str, told: str) -> None:
    bundle = _bad(tmp_path / "bundle", source)
    with Serving(tmp_path, bundle, workers=1) as serving:
        assert serving.ended() == 1
        assert told in serving.log() + str(serving.said() if serving.process.stdout else "")


def test_a_new_version_that_dies_while_loading_leaves_the_old_one_serving(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", HOSTILE, HOSTILE_NAME)
    with Serving(tmp_path, bundle, workers=2) as serving:
        server = Hostile(serving.ready())
        before = server.pid()
        _bad(tmp_path / "bundle", "import os; os._exit(7)")
        status, body = serving.ask("POST", f"/v2/repository/models/{HOSTILE_NAME}/load", {})
        assert status == 422, body
        assert "exited with code 7" in body["error"]
        assert server.pid() == before


def test_a_reload_brings_a_new_process_and_ends_the_old_one(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", HOSTILE, HOSTILE_NAME)
    with Serving(tmp_path, bundle, workers=2) as serving:
        server = Hostile(serving.ready())
        before = server.pid()
        stop = threading.Event()
        outcomes: list[Any] = []

        def client() -> None:
            while not stop.is_set():
                outcomes.append(server.ask("", 3.0))

        clients = [threading.Thread(target=client) for _ in range(2)]
        for thread in clients:
            thread.start()
        serving.reload()
        stop.set()
        for thread in clients:
            thread.join()
        assert server.pid() != before
        assert outcomes
        assert set(outcomes) == {(200, "")}
        eventually(lambda: not alive(before), "the end of the old process")


def test_any_model_can_be_isolated(tmp_path: Path) -> None:
    with Serving(tmp_path, write_model(tmp_path / "line.onnx", 5.0), workers=2, isolate="all") as serving:
        serving.ready()
        with Load(serving) as load:
            load.further(200)
            for _ in range(2):
                (process,) = [
                    pid for pid in serving.doors() if b"process.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
                ]
                os.kill(process, signal.SIGKILL)
                load.further(200)
        assert load.failed() == []
        assert load.offsets() == {5.0}


def test_several_processes_share_the_work_and_stand_in_for_each_other(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", HOSTILE, HOSTILE_NAME, processes=2)
    with Serving(tmp_path, bundle, workers=1) as serving:
        server = Hostile(serving.ready())
        with ThreadPoolExecutor(4) as pool:
            sleeping = pool.submit(server.ask, "sleep 3")
            time.sleep(0.2)
            assert server.pid() > 0
            assert not sleeping.done(), "one after the other"
            assert sleeping.result() == (200, "done")
            stopped = server.pid()
            os.kill(stopped, signal.SIGKILL)
            pids = {server.pid() for _ in range(5)}
            assert stopped not in pids
            deadly = pool.submit(server.ask, "exit 3")
            assert [server.ask("", float(number))[0] for number in range(50)] == [200] * 50
            assert deadly.result()[0] == 500


def test_a_door_that_dies_finds_the_process_again(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", HOSTILE, HOSTILE_NAME)
    with Serving(tmp_path, bundle, workers=1) as serving:
        server = Hostile(serving.ready())
        before = server.pid()
        (door,) = server.doors()
        os.kill(door, signal.SIGKILL)
        serving.all_ready(2)
        assert server.pid() == before


def test_the_end_of_the_supervisor_is_the_end_of_all(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", HOSTILE, HOSTILE_NAME)
    with Serving(tmp_path, bundle, workers=1) as serving:
        server = Hostile(serving.ready())
        process = server.pid()
        serving.process.kill()
        eventually(lambda: not alive(process), "the end of the model process")


def _bad(folder: Path, source: str) -> Path:
    """A bundle whose code does this when it is loaded, behind a signature that is well."""
    custom(folder, HOSTILE, HOSTILE_NAME)
    model = folder / "model.py"
    text = HOSTILE + "\n" + source + "\n"
    manifest = (folder / "manifest.toml").read_text()
    import hashlib
    import re

    old = model.read_bytes()
    model.write_text(text)
    manifest = manifest.replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(text.encode()).hexdigest())
    manifest = re.sub(r"bytes = \d+", f"bytes = {len(text.encode())}", manifest)
    (folder / "manifest.toml").write_text(manifest)
    return folder


OWN_LIBRARIES = """
import numpy as np
import servable
import six

class Version(servable.PythonModel):
    inputs = {"x": "FP32"}
    outputs = {"version": "BYTES"}

    def predict(self, batch):
        return np.full(len(batch["x"]), six.__version__, object)
"""


@pytest.mark.timeout(600)  # pip makes two environments
def test_models_with_conflicting_libraries_serve_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "six", types.ModuleType("six"))
    bundles = []
    for version in ("1.16.0", "1.17.0"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "requirements.txt").write_text(f"six=={version}\n")
        name = f"six-{version}"
        bundles.append(custom(folder, OWN_LIBRARIES, name, requirements="requirements.txt"))
    with Serving(tmp_path, *bundles, workers=1) as serving:
        serving.ready()
        for version in ("1.16.0", "1.17.0"):
            tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [0]}
            status, answer = serving.ask("POST", f"/v2/models/six-{version}/infer", {"inputs": [tensor]})
            assert status == 200, answer
            assert answer["outputs"][0]["data"] == [version]


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", name="elsewhere", python="/nowhere/bin/python")
    with Serving(tmp_path, bundle, workers=1) as serving:
        assert serving.ended() == 3
        assert "/nowhere/bin/python" in serving.said()["error"]
