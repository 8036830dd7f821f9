"""Requests a second against each peer: the same trees, the same rows, JSON, 64 connections."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import ours, venv
from benchmarks.bench import Bench, limited_by_generator, median, rate_of
from benchmarks.case import Case, WrongAnswer, trees_case
from benchmarks.figure import Figure, thousands
from benchmarks.machine import tree_memory_mib
from benchmarks.peers import bentoml, kserve, litserve, mlflow, mlserver, nginx, pytriton
from benchmarks.peers.peer import Peer, Place
from benchmarks.process import NotServing, Process, first_answer_s, free_port, started
from benchmarks.traffic import OK, Refused, Traffic, traffic

PEERS = (mlserver.PEER, kserve.PEER, litserve.PEER, mlflow.PEER, bentoml.PEER, pytriton.PEER, nginx.PEER)


@dataclass(frozen=True)
class Running:
    """A peer that serves."""

    process: Process
    place: Place
    traffic: Traffic
    start_s: float


class Missing(Exception):
    """A peer that this machine cannot have, or that does not serve the model; the reason stands in the table."""


@contextlib.contextmanager
def running(peer: Peer, case: Case) -> Iterator[Running]:
    """Install the peer if it is not, serve the case's model, wait for the first right answer. Raises Missing."""
    with contextlib.ExitStack() as stack:
        try:
            serving = stack.enter_context(_running(peer, case))
        except (venv.NotInstalled, NotServing, WrongAnswer, OSError, subprocess.CalledProcessError) as problem:
            raise Missing(str(problem)) from problem
        yield serving


@contextlib.contextmanager
def _running(peer: Peer, case: Case) -> Iterator[Running]:
    python = venv.python_of(peer.id, peer.packages) if peer.packages else Path(sys.executable)
    for program in peer.programs:
        if shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
            raise venv.NotInstalled(f"{program} is not installed: on Debian, run  apt-get install {program}-light")
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        place = Place(python, case.model, folder, free_port(), free_port())
        command = peer.prepare(place)
        spoken = traffic(case, peer.dialect, place.port, peer.model)
        if not peer.judged:
            spoken = replace(spoken, judge=_status_only)
        with started(command, peer.environment(place), folder / "log", folder) as process:
            yield Running(process, place, spoken, first_answer_s(process, spoken))


def against(bench: Bench, peer: Peer) -> list[Figure]:
    """Our rate over the peer's, or why the peer is not there."""
    name = f"requests/s against {peer.name}"
    case = trees_case()
    bench.tell(f"{peer.name}: install and start")
    try:
        with running(peer, case) as theirs, ours.serve(case) as mine:
            my_traffic = mine.traffic(case)
            bench.warm(my_traffic, theirs.traffic)
            pairs = bench.turns(lambda: bench.load(my_traffic), lambda: bench.load(theirs.traffic))
            memory = tree_memory_mib(theirs.process.pid)
            start_s = theirs.start_s
    except Missing as problem:
        return [Figure(name, at_least=peer.goal, missing=str(problem))]
    my_loads, their_loads = [mine for mine, _ in pairs], [theirs for _, theirs in pairs]
    figure = Figure(
        name,
        tuple(mine.rate / theirs.rate for mine, theirs in pairs),
        at_least=peer.goal,
        absolute=f"{thousands(rate_of(my_loads))} to {thousands(rate_of(their_loads))}",
        detail={
            "peer": peer.name,
            "settings": peer.settings,
            "versions": _versions(peer),
            "rate": rate_of(their_loads),
            "p50_ms": median([load.p50_ms for load in their_loads]),
            "p99_ms": median([load.p99_ms for load in their_loads]),
            "start_s": start_s,
            "pss_mib": memory[1],
            "generator_limited": limited_by_generator([*my_loads, *their_loads]),
        },
    )
    return [figure]


def _versions(peer: Peer) -> dict[str, str]:
    if peer.packages:
        return venv.versions(venv.python_of(peer.id, peer.packages), peer.packages)
    if peer.name == "nginx":
        told = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=False).stderr
        return {"nginx": told.strip().rpartition("/")[2]}
    return {}


def _status_only(index: int, status: int, headers: object, body: bytes) -> None:
    del index, headers
    if status != OK:
        raise Refused(f"answered {status}: {body[:100]!r}")
