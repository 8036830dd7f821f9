from __future__ import annotations

import os
import pty
import subprocess
import sys

from servable.registry.registry import Registry
from tests.packed import bundle_at


def on_a_terminal(*words: object) -> str:
    """What a person sees: the command's output on a pseudo-terminal."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "servable", *map(str, words)], stdout=theirs, stderr=theirs, env=environ, close_fds=True
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # how a pseudo-terminal says that the other end is closed
                break
            if not data:
                break
            seen += data
        os.close(ours)
        assert process.wait() == 0, seen
    return seen.decode()


def test_people_see_a_table_and_programs_see_lines(tmp_path):
    Registry(tmp_path / "home", who="ada").register(bundle_at(tmp_path / "b"))
    seen = on_a_terminal("models", "--home", tmp_path / "home")
    assert "─" in seen
    assert "\t" not in seen
    assert "scaler" in seen


def test_people_see_colours(tmp_path):
    assert "\x1b[32m✓" in on_a_terminal("doctor", "--home", tmp_path)


def test_people_see_the_first_rows_only(tmp_path):
    bundle_at(tmp_path / "b")
    (tmp_path / "rows.jsonl").write_text('{"x": [1, 2]}\n' * 30)
    seen = on_a_terminal("predict", tmp_path / "b", "--input", tmp_path / "rows.jsonl")
    assert seen.count("[2.0, 4.0]") == 0
    assert seen.count("2.0, 4.0") == 20
    assert "and 10 more" in seen
