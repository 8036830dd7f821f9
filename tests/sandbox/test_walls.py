"""The sandbox's layers: set up or loudly missed. What they forbid is tried out in `tests/e2e/test_model_process.py`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from servable.sandbox import landlock, seccomp

ENTER = """
import os, sys
from servable.errors import EnvironmentFault
from servable.sandbox import landlock, seccomp, walls
landlock_works, seccomp_works, mode, scratch, spawns = sys.argv[1:]
if landlock_works == "no":
    landlock.version = lambda: 0
if seccomp_works == "no":
    seccomp.platform.machine = lambda: "riscv64"
try:
    print(*walls.enter(walls.Walls("m", (), scratch, mode=mode, spawns=spawns == "yes")), sep="|")
except EnvironmentFault as error:
    print("refused:", error)
    sys.exit(3)
for attempt in (lambda: open("/etc/shadow"), lambda: os.listdir("/proc/1"), os.fork):
    try:
        done = attempt()
    except PermissionError:
        print("no")
    else:
        if done == 0:
            os._exit(0)
        print("yes")
"""


def enter(scratch: Path, mode: str = "auto", *, landlock: str = "yes", seccomp: str = "yes", spawns: str = "no"):
    command = [sys.executable, "-c", ENTER, landlock, seccomp, mode, str(scratch), spawns]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in {0, 3}, done.stderr
    layers, *answers = done.stdout.splitlines()
    return done.returncode, layers.split("|"), answers, done.stderr


def test_all_layers_stand(tmp_path: Path) -> None:
    code, layers, answers, told = enter(tmp_path, "required")
    assert (code, answers, told) == (0, ["no", "no", "no"], "")
    assert layers[:2] == ["resource limits", "no new privileges"]
    assert [layer.split()[0] for layer in layers[2:]] == ["landlock", "seccomp"]


@pytest.mark.parametrize(("lacking", "answers"), [("landlock", ["yes", "yes", "no"]), ("seccomp", ["no", "no", "yes"])])
def test_a_layer_that_lacks_is_told_and_refused_where_it_is_required(
    tmp_path: Path, lacking: str, answers: list[str]
) -> None:
    code, layers, found, told = enter(tmp_path, "auto", **{lacking: "no"})
    assert code == 0
    assert found == answers
    assert lacking not in " ".join(layers)
    assert lacking in told
    code, words, _, _ = enter(tmp_path, "required", **{lacking: "no"})
    assert code == 3
    assert lacking in words[0]


def test_off_leaves_the_limits(tmp_path: Path) -> None:
    code, layers, answers, told = enter(tmp_path, "off")
    assert (code, layers, answers) == (0, ["resource limits"], ["yes", "yes", "yes"])
    assert "without a sandbox" in told


def test_a_model_that_starts_programs_may(tmp_path: Path) -> None:
    code, _, answers, _ = enter(tmp_path, "required", spawns="yes")
    assert (code, answers) == (0, ["no", "no", "yes"])


LISTEN = """
import socket, sys
from servable.sandbox import seccomp
outside, listens = sys.argv[1:]
assert seccomp.restrict(spawns=False, listens=listens == "yes")

def listen():
    socket.socket(socket.AF_UNIX).bind("own.sock")

def connect():
    socket.socket(socket.AF_UNIX).connect(outside)

for attempt in (listen, connect, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket):
    try:
        attempt()
    except PermissionError:
        print("no")
    else:
        print("yes")
"""


@pytest.mark.parametrize(("listens", "answers"), [("yes", "yes no no no"), ("no", "no no no no")])
def test_a_model_whose_library_listens_may_and_reaches_nobody(tmp_path: Path, listens: str, answers: str) -> None:
    with socket.socket(socket.AF_UNIX) as outside:
        outside.bind(str(tmp_path / "outside.sock"))
        outside.listen()
        command = [sys.executable, "-W", "ignore", "-c", LISTEN, str(tmp_path / "outside.sock"), listens]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.stdout.split() == answers.split(), done.stderr


@pytest.mark.parametrize("listens", [False, True])
@pytest.mark.parametrize("machine", sorted(seccomp.NUMBERS))
def test_a_filter_is_whole_for_every_machine(machine: str, listens: bool) -> None:
    """Jumps stay inside, and the last step is an answer: else the kernel refuses the filter."""
    code = seccomp.program(machine, os.getpid(), spawns=False, listens=listens)
    steps = [code[index : index + 8] for index in range(0, len(code), 8)]
    for place, step in enumerate(steps):
        operation, if_true, if_false = int.from_bytes(step[:2], "little"), step[2], step[3]
        if operation in {seccomp.JUMP_IF_EQUAL, seccomp.JUMP_IF_ANY_BIT}:
            assert max(if_true, if_false) + place + 1 < len(steps)
    assert int.from_bytes(steps[-1][:2], "little") == seccomp.RETURN
    assert len(set(seccomp.NUMBERS[machine].values())) == len(seccomp.NUMBERS[machine])


def test_the_kernel_tells_its_version() -> None:
    assert landlock.version() >= 1
