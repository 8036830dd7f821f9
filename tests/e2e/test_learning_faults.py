"""What learns, killed at random moments and cut off from its disk: nothing that was acknowledged is lost, nothing
counts twice, and predictions go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.online import event
from servable.online.fold import Fold, State
from servable.online.journal import Entry
from servable.online.learners import spec
from servable.online.snapshots import Snapshots
from tests.e2e.serving import Serving, alive, eventually
from tests.online.guarding import guarded_fold

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

WIDTH, BLOCK = 8, 100
DESCRIPTION = {"learner": "ftrl", "inputs": {"x": f"FP64 [-1, {WIDTH}]"}, "classes": [0, 1]}


def block(number: int, rows: int = BLOCK) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The rows of a lesson and their outcomes: a rule with noise, that moves slowly."""
    source = np.random.default_rng([7, number])
    x = source.normal(size=(rows, WIDTH))
    weights = np.cos(np.arange(WIDTH) + number / 500)
    return x, (x @ weights + source.normal(size=rows) > 0).astype(int)


def body(x: np.ndarray[Any, Any], **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP64", "shape": list(x.shape), "data": x.ravel().tolist()}], **more}


class House:
    """A server of one learner that is started again whenever it is gone, and a client that sends until it is heard."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self._folder, self._workers = folder, workers
        self.model = folder / "moving.json"
        self.model.write_text(json.dumps(DESCRIPTION))
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.server = Serving(self._folder, self.model, workers=self._workers).ready()
        self.starts += 1
        self.http = httpx.Client(base_url=f"http://{self.server.host}:{self.server.port}/v2/models/moving", timeout=60)

    def send(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Until it is taken: what got no answer is sent again as it was."""
        while True:
            try:
                answer = self.http.post(path, json=document)
            except httpx.TransportError:
                if self.server.process.poll() is not None:
                    self.stop()
                    self.start()
                continue
            if answer.status_code in {200, 202}:
                told: dict[str, Any] = answer.json()
                return told
            assert answer.status_code == 503, answer.text

    def children(self, words: bytes) -> list[int]:
        """Its processes whose command line has these words."""
        found = []
        for pid in self.server.doors():
            with contextlib.suppress(OSError):
                if words in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def learner(self) -> int:
        eventually(lambda: bool(self.children(b"servable.online.process")), "the learner's process")
        return self.children(b"servable.online.process")[0]

    def learning(self) -> dict[str, Any]:
        report: dict[str, Any] = self.http.get("/learning").raise_for_status().json()
        return report

    def stop(self) -> None:
        """As an operator would; what was killed is gone already."""
        self.http.close()
        self.server.send(signal.SIGTERM)
        self.server.ended()
        self.server.__exit__()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.http.close()
    found.server.__exit__()


def undisturbed(blocks: int) -> Fold:
    """The learner that nobody killed."""
    found = spec.msgspec.convert(DESCRIPTION, spec.Spec)
    fold = guarded_fold(lambda: spec.make(found, spec.signature_of(found)))
    for number in range(blocks):
        x, y = block(number)
        ids = tuple(f"block {number}/{row}" for row in range(BLOCK))
        told = event.columns(Batch({"x": x})), event.column("", y)
        fold.apply(Entry(fold.offset, event.Examples(0.0, "", ids, (0,) * BLOCK, *told)))
    return fold


def kept(folder: Path, offset: int) -> State:
    """The state at this offset, once it is on the disk."""
    snapshots = Snapshots(folder / "snapshots")
    eventually(
        lambda: snapshots.offsets()[-1] == offset, f"a snapshot at {offset} beside those at {snapshots.offsets()}"
    )
    return snapshots.get(offset).state


class Killer:
    """Kills, whenever so many blocks are through, one or the other, at no moment of the client's."""

    def __init__(self, house: House, moments: list[tuple[int, str]]) -> None:
        self.killed: list[str] = []
        self.done = 0
        self._house = house
        self._moments = moments
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def tell(self, done: int) -> None:
        with self._moved:
            self.done = done
            self._moved.notify()

    def _run(self) -> None:
        for at, whom in self._moments:
            with self._moved:
                self._moved.wait_for(lambda at=at: self.done >= at)
            victims = {
                "supervisor": lambda: [self._house.server.process.pid],
                "door": lambda: self._house.children(b"servable.app"),
                "learner": lambda: self._house.children(b"servable.online.process"),
            }[whom]()
            for pid in victims[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(whom)

    def over(self) -> None:
        self._thread.join()


def test_killed_at_random_moments_it_learns_the_same_to_the_bit(house: House, tmp_path: Path) -> None:
    blocks = 1000
    chance = random.Random(20)
    whom = ["learner"] * 6 + ["door"] * 5 + ["supervisor"] * 4
    chance.shuffle(whom)
    killer = Killer(house, sorted(zip(chance.sample(range(5, blocks - 5), len(whom)), whom, strict=True)))
    for number in range(blocks):
        x, y = block(number)
        assert house.send("/learn", body(x, outcomes=y.tolist(), id=f"block {number}"))["accepted"] == BLOCK
        killer.tell(number)
    killer.over()
    assert set(killer.killed) == {"learner", "door", "supervisor"}
    assert house.starts > 1

    fold = undisturbed(blocks)
    last, right = block(blocks)
    told = house.send("/learn?wait=applied", body(last, outcomes=right.tolist(), id="the last"))
    answer = house.send("/infer", body(last))
    assert answer["parameters"]["offset"] == told["offset"]
    report = house.learning()
    assert report["learned"] == blocks * BLOCK + BLOCK == fold.learned + BLOCK
    told_columns = event.columns(Batch({"x": last})), event.column("", right)
    ids = tuple(f"the last/{row}" for row in range(BLOCK))
    fold.apply(Entry(fold.offset, event.Examples(0.0, "", ids, (0,) * BLOCK, *told_columns)))
    probabilities = fold.learner.predict(Batch({"x": last}))["probabilities"]
    assert answer["outputs"][1]["data"] == probabilities.ravel().tolist()

    # Not the weights alone: all that the learner and its guards are, as they stand in the last snapshot.
    newest = kept(tmp_path / "home" / "online" / "moving" / "1", told["offset"])
    assert newest.learner == fold.state().learner


def full_disk(pid: int, folder: Path) -> Callable[[], None]:
    """No file of the process may grow: the kernel writes a part of what it is given, and then refuses."""
    size = max(path.stat().st_size for path in (folder / "journal").glob("*.events"))
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 500, before[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, before) and None


def injected(call: str, error: str) -> Callable[[int, Path], Callable[[], None]]:
    """A call of the system that fails, as long as it is traced."""

    def cut_off(pid: int, folder: Path) -> Callable[[], None]:
        assert shutil.which("strace"), "apt-get install --no-install-recommends strace"
        command = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:error={error}", "-p", str(pid)]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text(), "strace to have it")

        def free() -> None:
            tracer.terminate()
            tracer.wait()

        return free

    return cut_off


FAULTS = {
    "a full disk": full_disk,
    "no space left": injected("pwrite64", "ENOSPC"),
    "a sync that fails": injected("fdatasync", "EIO"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_cut_off_from_its_disk_it_pauses_predictions_go_on_and_it_recovers(
    house: House, tmp_path: Path, fault: str
) -> None:
    folder = tmp_path / "home" / "online" / "moving" / "1"

    def teach(number: int) -> httpx.Response:
        x, y = block(number)
        return house.http.post("/learn?wait=applied", json=body(x, outcomes=y.tolist(), id=f"block {number}"))

    for number in range(5):
        assert teach(number).status_code == 200
    pid = house.learner()
    free = FAULTS[fault](pid, folder)
    try:
        for number in range(5, 10):
            refused = teach(number)
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["retry-after"]) >= 1
            assert "learning pauses, predictions go on" in refused.json()["error"]
            answer = house.http.post("/infer", json=body(block(number)[0]))
            assert answer.status_code == 200, answer.text
            assert answer.json()["parameters"] == {"offset": 5 * BLOCK}
        assert "predictions go on" in house.learning()["paused"]
        url = f"http://{house.server.host}:{house.server.port}/metrics"
        line = 'servable_learning_paused{model="moving",version="1"} 1'
        eventually(lambda: line in httpx.get(url).text, "the page of metrics to tell that it is paused")
    finally:
        free()
    for number in range(5, 10):
        assert teach(number).status_code == 200
    assert house.learning()["paused"] is None
    assert house.learner() == pid
    assert alive(pid)
    newest = kept(folder, 10 * BLOCK)
    assert newest.learned == 10 * BLOCK
    assert newest.learner == undisturbed(10).state().learner
