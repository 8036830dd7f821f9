"""`servable keys`, as a person or a script runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from servable.cli.keys import when
from servable.errors import UsageError
from servable.server.access.keys import Keys


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = "from servable.cli import main; main()"
    command = [sys.executable, "-c", code, "keys", *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    made = run(
        tmp_path, "create", "ada", "--role", "invoker", "--role", "feedback", "--model", "churn*", "--expires", "90d"
    )
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("sv_")
    found = Keys(tmp_path).find(secret)
    assert found is not None
    assert (found.name, found.roles, found.models) == ("ada", ("invoker", "feedback"), ("churn*",))
    listed = json.loads(run(tmp_path, "list", "--json").stdout)
    assert [(key["name"], key["roles"], key["expired"]) for key in listed] == [("ada", ["invoker", "feedback"], False)]
    assert secret not in json.dumps(listed)
    assert run(tmp_path, "revoke", "ada").returncode == 0
    assert Keys(tmp_path).find(secret) is None
    assert json.loads(run(tmp_path, "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("create", "ada", "--role", "king"), 2, "viewer, invoker, feedback, deployer, admin"),
        (("create", "ada", "--expires", "soon"), 2, "2027-01-31"),
        (("create", "ada", "--expires", "2001-01-01"), 2, "before"),
        (("create", "", "--role", "viewer"), 2, "1 to 128"),
        (("revoke", "nobody"), 1, "no key 'nobody'; there are: none"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, words: tuple[str, ...], exit_code: int, said: str) -> None:
    result = run(tmp_path, *words)
    assert result.returncode == exit_code
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_weak_key_file_is_an_environment_fault(tmp_path: Path) -> None:
    run(tmp_path, "create", "ada")
    (tmp_path / "keys.json").chmod(0o644)
    result = run(tmp_path, "list")
    assert result.returncode == 3
    assert "chmod 600" in result.stderr


def test_times() -> None:
    assert when("30d", 0.0) == 30 * 86_400
    assert when("1970-01-02", 0.0) == 86_400
    with pytest.raises(UsageError):
        when("1y", 0.0)
