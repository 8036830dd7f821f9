"""Runner: looks what is due, takes it if nobody else has, runs it, and writes down what became of it.

Each run is a process of its own, `servable batch`, so that nothing of one is left for the next. While it works its
lease is renewed; who dies loses it, who is stopped gives it up, and the next runner ends the job with `--resume`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from servable.offline.schedule.history import LEASE_S, Happened, History, Taken, What
from servable.offline.schedule.plan import Schedule
from servable.offline.schedule.policy import due

LOOK_S: Final = 1.0
LONGEST_TOLD: Final = 500
STOPPED: Final = frozenset({-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT})


class Runner:
    """Of the schedules of one file. `home` is passed on to the jobs."""

    def __init__(
        self, schedules: Mapping[str, Schedule], history: History, home: str, now: Callable[[], float]
    ) -> None:
        self._schedules = schedules
        self._history = history
        self._home = home
        self._now = now

    def look(self, over: threading.Event) -> Iterator[Happened]:
        """Run all that is due, one after another; what became of each. Begins none when it is `over`."""
        for name, schedule in self._schedules.items():
            if over.is_set():
                return
            last = self._history.seen(name)
            found = due(schedule.following, last, self._now(), schedule.missed)
            if self._history.orphaned(name):
                taken = self._history.take(name, last)
            elif found is None:
                continue
            elif found.act == "skip":
                self._history.skip(name, found.time)
                continue
            else:
                taken = self._history.take(name, found.time)
            if taken is not None:
                yield self._run(taken, schedule.batch, over)

    def watch(self, over: threading.Event) -> Iterator[Happened]:
        """Look on, until it is over."""
        while not over.wait(LOOK_S):
            yield from self.look(over)

    def _run(self, taken: Taken, words: Sequence[str], over: threading.Event) -> Happened:
        more = ["--resume"] if taken.again else []
        command = [sys.executable, "-m", "servable", "batch", *words, *more, "--home", self._home]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(LEASE_S / 3):
                self._history.note(taken, "renewed")

        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            said, _ = process.communicate()
        finally:
            process.kill()
            ended.set()
            renewing.join()
        what: What = "done" if process.returncode == 0 else "failed"
        if over.is_set() and process.returncode in STOPPED:  # with us: the machine goes down, or its service
            what = "stopped"
        lines = said.decode(errors="replace").strip().splitlines() or [f"ended with {process.returncode}"]
        told = lines[0][:LONGEST_TOLD]
        self._history.note(taken, what, told)
        return Happened(self._now(), taken.name, taken.due, what, "", told)
