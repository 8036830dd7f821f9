from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packed import bundle_at


@pytest.mark.timeout(300)
def test_a_process_killed_at_any_line_leaves_the_old_or_the_new(tmp_path):
    """Never anything between, and whoever comes next completes it."""
    old, new = bundle_at(tmp_path / "old", factor=1), bundle_at(tmp_path / "new", factor=2)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("crash.py")), str(tmp_path / "homes"), str(old), str(new)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert len(seen) > 50, "the child did not run through the registry's lines"
    found = [int(versions) for versions, *_ in seen]
    assert found == sorted(found)
    assert {*found} == {1, 2}
    assert any(hidden == "1" for _, hidden, _ in seen), "no child died between the copy and its rename"
    assert {rest for *_, rest in seen} == {"['1', '2'] 0"}
