"""Runs a command of `servable`: in this process, which is quick, or as a shell would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from servable.cli import main


class Ended(NamedTuple):
    """How it ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """Commands on one home. `command("models", "show", "x")` runs `servable models show x --home HOME`."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys

    def __call__(self, *words: object, code: int = 0) -> Ended:
        """Run on the home; it must end with `code`."""
        return self.plain(*words, "--home", self.home, code=code)

    def plain(self, *words: object, code: int = 0) -> Ended:
        """The same with these words alone."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words)])
        told = Ended(int(ended.value.code or 0), *self._capsys.readouterr())
        assert told.code == code, told
        return told


def servable(*words: object, **options: Any) -> Ended:
    """The same in a process of its own, on whatever home the words say."""
    done = subprocess.run(
        [sys.executable, "-m", "servable", *map(str, words)], capture_output=True, text=True, check=False, **options
    )
    return Ended(done.returncode, done.stdout, done.stderr)
