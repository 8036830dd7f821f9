from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from threading import Event

import pytest

from servable.errors import UsageError
from servable.offline.schedule.history import LEASE_S, History
from servable.offline.schedule.plan import Schedule, load_schedules
from servable.offline.schedule.runner import Runner
from tests.offline.files import csv_files, held_at
from tests.packed import scaler
from tests.stores.tables import places


class Clock:
    def __init__(self, now=1_000_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


def at(*when):
    return datetime(*when, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        (Schedule((), cron="30 2 * * *"), at(2026, 1, 1), at(2026, 1, 1, 2, 30)),
        (Schedule((), cron="30 2 * * *"), at(2026, 1, 1, 2, 30), at(2026, 1, 2, 2, 30)),
        (Schedule((), cron="30 2 * * *", timezone="Europe/Vienna"), at(2026, 7, 1), at(2026, 7, 1, 0, 30)),
        (Schedule((), cron="30 2 * * *", timezone="Europe/Vienna"), at(2026, 12, 1), at(2026, 12, 1, 1, 30)),
        (Schedule((), cron="0 0 29 2 *"), at(2026, 1, 1), at(2028, 2, 29)),
        (Schedule((), every="90s"), 100.0, 180.0),
    ],
)
def test_when_it_is_due(schedule, after, expected):
    assert schedule.following(after) == expected


@pytest.mark.parametrize("url", ["", "postgresql"])
def test_one_runner_takes_each_run_and_another_takes_over_from_the_dead(tmp_path, url):
    clock = Clock()
    with places.postgresql(tmp_path) as server:
        first, second = (History(server if url else "", tmp_path, who, clock) for who in ("a", "b"))
        begun = first.seen("n")
        assert (begun, second.seen("n")) == (clock.now, clock.now)
        taken = first.take("n", begun + 60)
        assert taken == ("n", begun + 60, False)
        assert second.take("n", begun + 60) is None
        clock.now += LEASE_S - 1
        first.note(taken, "renewed")
        clock.now += LEASE_S - 1
        assert (second.orphaned("n"), second.take("n", begun + 120)) == (False, None)
        clock.now += 2
        assert second.orphaned("n")
        again = second.take("n", begun + 120)
        assert again == ("n", begun + 60, True)
        second.note(again, "done", "all")
        assert first.take("n", begun + 60) is None
        assert [(one.what, one.who) for one in first.all("n")] == [("done", "b"), ("started", "b"), ("started", "a")]


@pytest.mark.faults
def test_a_run_that_is_stopped_with_its_runner_is_ended_by_the_next(tmp_path):
    """As when a service is stopped: the signal goes to all of its processes."""
    path, home = tmp_path / "s.toml", ["--home", str(tmp_path / "home")]
    words = [str(scaler(tmp_path / "m.onnx")), "--input", str(csv_files(tmp_path / "in", 60)), "--key", "id"]
    path.write_text(f'[often]\nevery = "1s"\nbatch = {[*words, "--table", "t", "--workers", "1"]}\n')
    command = [sys.executable, "-m", "servable", "schedule", str(path), *home]
    runner = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    while not list((tmp_path / "home/offline/jobs/t").glob("parts/*.json")):
        assert runner.poll() is None
    os.killpg(runner.pid, signal.SIGTERM)
    assert b"often: stopped" in runner.communicate()[0]
    schedules = load_schedules(path)
    history = History("", tmp_path / "home", "next", time.time)
    (ended,) = Runner(schedules, history, str(tmp_path / "home"), time.time).look(Event())
    assert (ended.what, "600 of 600 rows answered" in ended.told) == ("done", True)
    assert [one.what for one in history.all()] == ["done", "started", "stopped", "started"]
    assert history.all()[1].told == "taken over"


def test_due_jobs_are_run_missed_ones_caught_up_or_skipped(tmp_path):
    home, clock = tmp_path / "home", Clock()
    model, source = scaler(tmp_path / "scaler.onnx"), csv_files(tmp_path / "in")
    words = (str(model), "--input", str(source), "--key", "id", "--table")
    schedules = {
        "good": Schedule((*words, "t"), every="1h"),
        "bad": Schedule((*words, "../t"), every="1h"),
        "late": Schedule((*words, "late"), every="1h", missed="skip"),
    }
    runner = Runner(schedules, History("", home, "me", clock), str(home), clock)
    assert list(runner.look(Event())) == []
    clock.now += 5 * 3600
    assert [(one.name, one.what) for one in runner.look(Event())] == [("good", "done"), ("bad", "failed")]
    assert list(runner.look(Event())) == []
    history = {one.name: one for one in reversed(History("", home, "me", clock).all())}
    assert "30 of 30 rows answered" in history["good"].told
    assert "cannot name a table" in history["bad"].told
    assert history["late"].what == "skipped"
    assert len(held_at(home, "t")) == 30


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no schedule"),
        ("[", "not a valid TOML"),
        ("[a]\nbatch = ['x']", "cron or every, one of them"),
        ("[a]\nbatch = ['x']\ncron = '61 * * * *'", "cron = '61"),
        ("[a]\nbatch = ['x']\nevery = 'often'", "expected a length of time"),
        ("[a]\nbatch = ['x']\ncron = '* * * * *'\ntimezone = 'Mars'", "such as Europe/Vienna"),
        ("[a]\ncron = '* * * * *'", "batch"),
        ("[a]\nbatch = ['x']\nevery = '1h'\nmissed = 'never'", "missed"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path, text, said):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        load_schedules(tmp_path / "s.toml")
