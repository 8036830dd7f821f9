"""One learner on several machines: servers with homes of their own, one PostgreSQL. One is killed, one is stopped."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

import servable
from servable.domain.batch import Batch
from servable.online.event import decode
from servable.online.fleet.last import Last
from servable.online.fleet.ledger import Ledger
from servable.online.fleet.tables import EVENTS, SNAPSHOTS, STATES, database_of
from servable.online.fold import Fold
from servable.online.journal import Entry
from servable.online.learners import spec
from tests.cli.command import servable as command
from tests.e2e.serving import Serving, eventually
from tests.e2e.test_learning import DESCRIPTION, body, labels
from tests.online.guarding import guarded_fold
from tests.postgresql import postgresql
from tests.servers import nats_server, redis_server

pytestmark = pytest.mark.faults
LEASE_S = 3.0


class Machine:
    """A server with a home of its own, and a client of it."""

    def __init__(self, folder: Path, model: Path, database: str, **settings: Any) -> None:
        folder.mkdir()
        self.home = settings.get("home", folder / "home")
        shared = {"workers": 1, "learning_url": database, "learning_lease_s": LEASE_S, **settings}
        self.server = Serving(folder, model, **shared).ready()
        url = f"http://{self.server.host}:{self.server.port}/v2/models/{model.stem}"
        self.http = httpx.Client(base_url=url, timeout=60)

    def learns(self) -> bool:
        """Whether it is the one that learns, as it says itself."""
        return "learns_on" not in self.report() and self.server.log().count("this machine learns") > 0

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/learning").json()
        return found

    def learn(self, rows: slice, **more: Any) -> httpx.Response:
        return self.http.post("/learn?wait=applied", json=body(rows, outcomes=labels(rows), **more))

    def taught(self, rows: slice, key: str) -> int:
        """Sent until it is acknowledged, as a careful client would: the offset."""
        answers: list[httpx.Response] = []

        def acknowledged() -> bool:
            answers.append(self.learn(rows, id=key))
            assert answers[-1].status_code in {200, 503}, answers[-1].text
            return answers[-1].status_code == 200

        eventually(acknowledged, "lessons to be taken")
        return int(answers[-1].json()["offset"])

    def answers(self, rows: slice) -> tuple[int, list[float]]:
        """The offset that they were computed at, and probabilities."""
        found = self.http.post("/infer", json=body(rows)).raise_for_status().json()
        return found["parameters"]["offset"], found["outputs"][1]["data"]

    def processes(self) -> list[int]:
        """All of the server's, the supervisor first."""
        found = [self.server.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, task.read_text().split())
        return found

    def all(self, number: signal.Signals) -> None:
        """Send a signal to each."""
        for pid in self.processes():
            os.kill(pid, number)


class Fleet:
    """Machines that share a learner."""

    def __init__(self, folder: Path, database: str, stack: ExitStack) -> None:
        self.model = folder / "cancer.json"
        self.model.write_text(DESCRIPTION)
        self.url = database
        self.database = database_of(database)
        stack.callback(self.database.close)
        self._folder = folder
        self._stack = stack
        self.machines: list[Machine] = []

    def add(self, model: Path | None = None, **settings: Any) -> Machine:
        name = f"machine-{len(self.machines)}"
        found = Machine(self._folder / name, model or self.model, self.url, **settings)
        self._stack.push(found.server)
        self._stack.callback(found.http.close)
        self.machines.append(found)
        return found

    def events(self, learner: str = "cancer:1") -> list[Any]:
        ledger = Ledger(self.database, learner, "", "", 0.0)
        found: list[Any] = []
        while page := ledger.read(0, place=found[-1][0] if found else 0):
            found += page
        return [event for _, event in found]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with postgresql() as database, ExitStack() as stack:
        yield Fleet(tmp_path, database, stack)


SOURCE = """
import servable


class Cancer(servable.SklearnLearner):
    inputs = {"x": "FP64 [-1, 30]"}
    classes = ("malignant", "benign")

    def model(self):
        from sklearn.linear_model import SGDClassifier
        from sklearn.preprocessing import StandardScaler

        return [StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)]
"""


def undisturbed(fleet: Fleet, blocks: list[slice]) -> Fold:
    """The learner that has learned these, one after another, on one machine, with nothing in its way."""
    description = spec.read(fleet.model)
    fold = guarded_fold(lambda: spec.make(description, spec.signature_of(description)))
    journal = fleet.events()
    known: set[str] = set()
    for event in journal:
        found = decode(event.body)
        if not event.after > event.offset or set(found.ids) <= known:
            continue
        known |= set(found.ids)
        fold.apply(Entry(fold.offset, found))
    assert fold.learned == sum(rows.stop - rows.start for rows in blocks)
    return fold


def test_what_one_machine_is_taught_all_answer_and_when_it_dies_another_goes_on(fleet: Fleet) -> None:
    first = fleet.add()
    eventually(first.learns, "the first machine to learn")
    second, third = fleet.add(), fleet.add()
    blocks = [slice(start, start + 10) for start in range(0, 400, 10)]
    for place, rows in enumerate(blocks):
        alive = (first, second, third) if place < 20 else (second, third)
        at = alive[place % len(alive)]
        offset = at.taught(rows, f"block {place}")
        assert at.answers(slice(0, 5))[0] >= offset
        if place == 19:
            os.kill(first.server.process.pid, signal.SIGKILL)
    eventually(lambda: second.learns() != third.learns(), "one of them to learn")
    eventually(lambda: second.answers(slice(0, 5))[0] == third.answers(slice(0, 5))[0] >= 400, "both to be there")

    told = undisturbed(fleet, blocks).learner.predict(Batch({"x": body_of(slice(0, 100))}))
    for machine in (second, third):
        np.testing.assert_array_equal(machine.answers(slice(0, 100))[1], told["probabilities"].ravel())
    follower = third if second.learns() else second
    eventually(lambda: follower.report().get("learned", 0) == 400, "the report of the one that learns")
    assert follower.report()["learns_on"]

    # A prediction of one machine is learned by an outcome that another is told.
    follower.http.post("/infer", json=body(slice(500, 501), id="late")).raise_for_status()
    leader = second if second.learns() else third
    late = {"outcomes": [{"id": "late", "outcome": labels(slice(500, 501))[0]}]}

    def joined() -> bool:
        return bool(leader.http.post("/feedback?wait=applied", json=late).json()["accepted"])

    eventually(joined, "the question to be known to the one that learns")

    # The journal of all gives past states as that of one machine does.
    words = ("learning", "rebuild", fleet.model, "--at", 200, "--output", fleet.model.with_name("past"), "--json")
    settings = {**os.environ, "SERVABLE_LEARNING_URL": fleet.url}
    made = command(*words, "--home", second.home, env=settings)
    assert (made.code, made.json["offset"], made.json["learned"]) == (0, 200, 200), made


def test_a_machine_that_slept_while_another_took_over_changes_nothing(fleet: Fleet) -> None:
    # With heartbeats longer than its sleep: its own supervisor wakes with it, and must not be what saves us.
    first = fleet.add(heartbeat_timeout_s=120)
    eventually(first.learns, "the first machine to learn")
    second = fleet.add()
    blocks = [slice(start, start + 10) for start in range(0, 100, 10)]
    for place, rows in enumerate(blocks[:4]):
        first.taught(rows, f"block {place}")
    first.all(signal.SIGSTOP)
    try:
        for place, rows in enumerate(blocks[4:8], 4):
            second.taught(rows, f"block {place}")
        assert second.learns()
        # One more lies with the sleeper: it reads it the moment it wakes, and believes that it learns.
        waiting = HTTPConnection(first.server.host, first.server.port, timeout=60)
        told = json.dumps(body(blocks[8], outcomes=labels(blocks[8]), id="block 8"))
        waiting.request("POST", "/v2/models/cancer/learn", told)
    finally:
        first.all(signal.SIGCONT)
    answer = waiting.getresponse()
    assert answer.status in {202, 503}, answer.read()
    waiting.close()
    first.taught(blocks[8], "block 8")
    first.taught(blocks[9], "block 9")
    eventually(lambda: "learns_on" in first.report(), "the sleeper to follow")
    assert second.learns()

    ledger_epochs = epochs(fleet)
    assert ledger_epochs == sorted(ledger_epochs)
    assert set(ledger_epochs) == {1, 2}
    told = undisturbed(fleet, blocks).learner.predict(Batch({"x": body_of(slice(0, 100))}))
    eventually(lambda: first.answers(slice(0, 5))[0] == second.answers(slice(0, 5))[0], "both to be there")
    for machine in (first, second):
        np.testing.assert_array_equal(machine.answers(slice(0, 100))[1], told["probabilities"].ravel())


def test_who_is_stopped_leaves_its_last_state_to_the_next(fleet: Fleet) -> None:
    first = fleet.add()
    eventually(first.learns, "the first machine to learn")
    second = fleet.add()
    blocks = [slice(start, start + 10) for start in range(0, 200, 10)]
    for place, rows in enumerate(blocks):
        first.taught(rows, f"block {place}")
    first.server.send(signal.SIGTERM)
    assert first.server.ended() == 0
    with fleet.database.read() as connection:
        assert connection is not None
        assert connection.execute(sa.select(sa.func.max(SNAPSHOTS.c.offset))).scalar_one() == 200
    eventually(second.learns, "the second machine to learn")
    taken_up = [line for line in second.server.log().splitlines() if "took up 200 examples" in line]
    assert ["0 of them from the journal" in line for line in taken_up] == [True], second.server.log()
    second.taught(slice(200, 210), "another")
    told = undisturbed(fleet, [*blocks, slice(200, 210)]).learner.predict(Batch({"x": body_of(slice(0, 100))}))
    np.testing.assert_array_equal(second.answers(slice(0, 100))[1], told["probabilities"].ravel())


@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_states_go_through_another_server_which_may_die(fleet: Fleet, tmp_path: Path, kind: str) -> None:
    with redis_server() if kind == "redis" else nats_server(tmp_path / "nats") as states:
        first = fleet.add(learning_states=states.url)
        eventually(first.learns, "the first machine to learn")
        second = fleet.add(learning_states=states.url)
        blocks = [slice(start, start + 10) for start in range(0, 120, 10)]
        for place, rows in enumerate(blocks[:4]):
            at = (first, second)[place % 2]
            assert at.answers(slice(0, 5))[0] <= at.taught(rows, f"block {place}")
        eventually(lambda: second.answers(slice(0, 5))[0] == 40, "its states to come over")
        with fleet.database.read() as connection:
            assert connection is not None
            assert connection.execute(sa.select(sa.func.count()).select_from(STATES)).scalar_one() == 0

        # Without it learning goes on, of lessons from anywhere; only the answers of the others stay what they were.
        states.kill()
        for place, rows in enumerate(blocks[4:8], 4):
            at = (first, second)[place % 2]
            told = body(rows, outcomes=labels(rows), id=f"block {place}")
            assert at.http.post("/learn", json=told).status_code == 202
        eventually(lambda: first.answers(slice(0, 5))[0] == 80, "all to be learned")
        assert second.answers(slice(0, 5))[0] == 40
        states.start()
        eventually(lambda: second.answers(slice(0, 5))[0] == 80, "it to catch up")

        os.kill(first.server.process.pid, signal.SIGKILL)
        for place, rows in enumerate(blocks[8:], 8):
            second.taught(rows, f"block {place}")
        assert second.learns()
        told = undisturbed(fleet, blocks).learner.predict(Batch({"x": body_of(slice(0, 100))}))
        np.testing.assert_array_equal(second.answers(slice(0, 100))[1], told["probabilities"].ravel())


def test_a_learner_that_is_code_is_restored_in_the_sandbox_of_each_machine(fleet: Fleet) -> None:
    source = fleet.model.with_name("code.py")
    source.write_text(SOURCE)
    packed = servable.pack(source, name="code", output=fleet.model.with_name("code"), allow_unsafe=True)
    first = fleet.add(packed.folder)
    eventually(first.learns, "the first machine to learn")
    second = fleet.add(packed.folder, workers=2)
    for place in range(20):
        at = (first, second)[place % 2]
        at.taught(slice(place * 10, place * 10 + 10), f"block {place}")
    asked = slice(0, 100)
    assert first.answers(asked) == second.answers(asked)
    assert first.answers(asked)[0] == 200
    first.all(signal.SIGKILL)
    second.taught(slice(200, 210), "after it")
    assert second.answers(asked)[0] == 210
    assert sum(event.after - event.offset for event in fleet.events("code:1")) == 210


def test_kills_at_random_and_a_database_that_sleeps_lose_nothing(fleet: Fleet) -> None:
    machines = [fleet.add(workers=2), fleet.add()]
    over = threading.Event()
    acknowledged: set[str] = set()

    def teach(client: int) -> None:
        """One example after another, each sent again until it is acknowledged, to whichever machine."""
        chance = random.Random(client)
        for number in itertools.count():
            key, row = f"{client}-{number}", (client * 131 + number * 7) % 500
            while key not in acknowledged:
                if over.is_set():
                    return
                with contextlib.suppress(httpx.TransportError):
                    told = body(slice(row, row + 1), outcomes=labels(slice(row, row + 1)), id=key)
                    if chance.choice(machines).http.post("/learn", json=told).status_code == 202:
                        acknowledged.add(key)

    def more(count: int) -> None:
        before = len(acknowledged)
        eventually(lambda: len(acknowledged) >= before + count, "more to be acknowledged")

    def leader() -> Machine:
        found: list[Machine] = []
        eventually(lambda: bool(found.extend(each for each in machines if each.learns()) or found), "one to learn")
        return found[0]

    clients = [threading.Thread(target=teach, args=(number,)) for number in range(3)]
    for client in clients:
        client.start()
    try:
        for victim in (b"servable.online.process", b"servable.app", b"servable.online.process", b"servable.app"):
            more(30)
            pids = leader().processes()
            os.kill(next(pid for pid in pids if victim in Path(f"/proc/{pid}/cmdline").read_bytes()), signal.SIGKILL)
        more(30)
        leader()
        lesson = body(slice(0, 1), outcomes=labels(slice(0, 1)), id="meanwhile")
        with asleep(fleet.url):
            for machine in machines:  # the one that learns, and the one that waits for it
                eventually(lambda machine=machine: refuses(machine, lesson), "a lesson to be refused")
            eventually(lambda: "does not answer" in "".join(each.server.log() for each in machines), "it to be missed")
            for machine in machines:
                machine.answers(slice(0, 5))
        more(30)
    finally:
        over.set()
        for client in clients:
            client.join()

    journal = [decode(event.body) for event in fleet.events() if event.after > event.offset]
    assert acknowledged <= {key for event in journal for key in event.ids}
    description = spec.read(fleet.model)
    fold = guarded_fold(lambda: spec.make(description, spec.signature_of(description)))
    for event in journal:
        fold.apply(Entry(fold.offset, event))
    assert fold.learned == len({key for event in journal for key in event.ids})
    told = fold.learner.predict(Batch({"x": body_of(slice(0, 100))}))["probabilities"].ravel().tolist()
    for machine in machines:
        eventually(lambda machine=machine: machine.answers(slice(0, 100)) == (fold.offset, told), "the last state")


def test_a_server_that_is_stopped_hands_over_at_once(fleet: Fleet) -> None:
    first = fleet.add(learning_lease_s=3600)
    eventually(first.learns, "the first machine to learn")
    second = fleet.add(learning_lease_s=3600)
    assert first.taught(slice(0, 10), "before") == 10
    first.server.send(signal.SIGTERM)
    assert first.server.ended() == 0
    assert second.taught(slice(10, 20), "after") == 20
    assert second.learns()


def test_a_machine_that_starts_without_the_database_answers_as_it_last_did(fleet: Fleet) -> None:
    first = fleet.add()
    eventually(first.learns, "the first machine to learn")
    offset = first.taught(slice(0, 40), "all")
    kept = first.home / "online" / "cancer" / "1" / "last.state"
    eventually(lambda: kept.exists() and (found := Last(kept).read()) is not None and found.offset == offset, "a copy")
    before = first.answers(slice(0, 100))
    first.all(signal.SIGKILL)
    first.server.process.wait()
    with asleep(fleet.url):
        again = fleet.add(home=first.home)
        assert again.answers(slice(0, 100)) == before
        assert again.http.post("/learn", json=body(slice(0, 1), outcomes=labels(slice(0, 1)))).status_code == 503
    assert again.taught(slice(40, 50), "later") == offset + 10


def refuses(machine: Machine, lesson: Any) -> bool:
    return machine.http.post("/learn", json=lesson).status_code == 503


@contextlib.contextmanager
def asleep(url: str) -> Iterator[None]:
    """All processes of a PostgreSQL, stopped."""
    data = Path(url.partition("host=")[2]) / "data"
    first = int((data / "postmaster.pid").read_text().split()[0])
    pids = [first]
    os.kill(first, signal.SIGSTOP)  # before they are counted: it starts new ones
    children = Path(f"/proc/{first}/task/{first}/children")
    while fresh := set(map(int, children.read_text().split())) - set(pids):  # one that it was starting as it stopped
        pids += fresh
        for pid in fresh:
            with contextlib.suppress(ProcessLookupError):  # it had only to end
                os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # one that had only to end, as those that clean up do
                os.kill(pid, signal.SIGCONT)


def epochs(fleet: Fleet) -> list[int]:
    """Of the leases under which events were written, in the order of the journal."""
    with fleet.database.read() as connection:
        assert connection is not None
        return [int(epoch) for epoch in connection.execute(sa.select(EVENTS.c.epoch).order_by(EVENTS.c.seq)).scalars()]


def body_of(rows: slice) -> Any:
    """The numbers of a request."""
    found = body(rows)["inputs"][0]
    return np.array(found["data"]).reshape(found["shape"])
