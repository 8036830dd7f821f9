from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packed import bundle_at

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ptrace as Linux has it")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.faults)])
def test_a_process_killed_before_any_system_call_leaves_the_old_or_the_new(step, tmp_path):
    """Never anything between, and whoever comes next completes it."""
    old, new = bundle_at(tmp_path / "old", factor=1), bundle_at(tmp_path / "new", factor=2)
    crash = Path(__file__).with_name("crash.py")
    done = subprocess.run(
        [sys.executable, str(crash), str(tmp_path / "homes"), str(old), str(new), str(step)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert len(seen) > 200 / step, "the child did not make the registry's calls"
    found = [int(versions) for versions, *_ in seen]
    assert found == sorted(found)
    assert {*found} == {1, 2}
    assert any(hidden == "1" for _, hidden, _ in seen), "no child died between the copy and its rename"
    assert {rest for *_, rest in seen} == {"['1', '2'] 0"}
