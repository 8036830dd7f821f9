from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from servable import __version__
from servable.cli.commands import COMMANDS
from servable.domain.terms import Terms
from servable.registry.registry import Registry
from tests.cli.command import servable
from tests.packed import bundle_at, scaler
from tests.server.supervised import eventually

GROUPS = {
    "models": ("show", "register", "alias", "delete", "history", "verify"),
    "release": ("canary", "bandit", "shadow", "fallback", "promote", "rollback", "status"),
    "rules": ("suggest", "test", "apply"),
    "keys": ("create", "list", "revoke"),
    "table": ("list", "get", "push", "secret", "rollback", "drop"),
    "learning": ("rebuild", "evaluate"),
}
ALL = [[name] for name in COMMANDS if name not in {"keys", "table", "rules", "learning"}]
ALL += [[name, part] for name, parts in GROUPS.items() for part in parts]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_shows_an_example_and_takes_a_home_and_json(words, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    told = command.plain(*words, "--help")
    assert f"Example:  servable {' '.join(words)}" in told.out
    assert "--home" in told.out
    assert "--json" in told.out


@pytest.mark.parametrize(
    ("words", "variables", "told"),
    [
        (["--http-port", "99999"], {}, "setting 'http_port' in the command line: expected a number from 0 to 65535"),
        (
            [],
            {"SERVABLE_GRPC_PORT": "-2"},
            "setting 'grpc_port' in the environment: expected a number from -1 to 65535",
        ),
        ([], {"SERVABLE_WORKERS": "0"}, "setting 'workers' in the environment: expected a number not below 1, got 0"),
        (
            [],
            {"SERVABLE_GRACE_S": "nan"},
            "setting 'grace_s' in the environment: expected a number not below 0, got nan",
        ),
    ],
)
def test_a_number_that_a_setting_cannot_be_is_wrong_usage(words, variables, told, command, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert told in command("serve", *words, code=2).err


def test_a_place_that_cannot_be_written_is_the_environments_fault_in_one_line(command, tmp_path):
    scaler(tmp_path / "m.onnx")
    (tmp_path / "file").touch()
    told = command("pack", tmp_path / "m.onnx", "--output", tmp_path / "file" / "below", code=3)
    assert told.err.startswith(f"servable: '{tmp_path}/file") and told.err.count("\n") == 1
    assert (
        command("pack", tmp_path / "m.onnx", "--output", tmp_path / "file" / "below", "--json", code=3).json["code"]
        == "environment"
    )


@pytest.mark.parametrize(
    ("redirected", "code"), [(">&-", 0), (">/dev/full", 3), ("| head -c 1 >/dev/null", 0), ("2>&- >&- <&-", 0)]
)
def test_output_that_goes_nowhere_is_no_traceback(redirected, code, tmp_path):
    Registry(tmp_path / "home", who="ada").register(bundle_at(tmp_path / "b"))
    line = f"set -o pipefail; {sys.executable} -m servable models --json --home {tmp_path / 'home'} {redirected}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == code, ended.stderr


def test_what_the_terminal_cannot_write_is_escaped(tmp_path):
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    told = servable("pack", tmp_path / "größe.onnx", env=environ)
    assert "gr\\xf6\\xdfe.onnx" in told.err
    assert told.code == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_takes_away_what_it_was_making(number, tmp_path):
    """Told while its process for foreign code is there: folder and process go with it."""
    place = tmp_path / "place"
    place.mkdir()
    model = tmp_path / "model.py"
    model.write_text("import time\nimport servable\ntime.sleep(60)\nclass Slow(servable.PythonModel): ...\n")
    words = ["pack", model, "--allow-unsafe", "--home", tmp_path / "home"]
    environ = {**os.environ, "TMPDIR": str(place)}
    # Whoever runs the tests in the background has them ignore an interrupt, which a process inherits.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "servable", *map(str, words)]
    with subprocess.Popen(command, env=environ) as process:
        eventually(lambda: any(place.glob("servable-elsewhere-*/scratch")))
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert list(place.iterdir()) == []


def test_help_tells_what_holds_where_an_option_is_left_out(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "Where tables are. [default: (in the home)]" in command.plain("table", "list", "--help").out
    assert "The offset to go back to. [default: (the newest)]" in command.plain("learning", "rebuild", "--help").out


def test_help_tells_the_terms_of_a_canary_that_hold(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    told, terms = command.plain("release", "canary", "--help").out, Terms()
    for said in (
        terms.least_requests,
        round(terms.least_s / 60),
        f"{terms.error_margin:.0%}",
        f"{terms.slow_margin:.0%}",
        f"{terms.success_margin:.0%}",
    ):
        assert f"[default: ({said})]" in told


def test_help_tells_all_commands(command):
    told = command.plain("--help")
    assert all(name in told.out for name in COMMANDS)


def test_the_version():
    assert servable("--version").out == f"{__version__}\n"
    assert servable("--version", "--help").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["modls"], "No such command 'modls'; see  servable --help"),
        (["models", "alias"], "Missing argument 'NAME@ALIAS'; see  servable models alias --help"),
        (["models", "show", "a", "--frobnicate"], "No such option: --frobnicate; see  servable models show --help"),
        (["serve", "--workers", "0"], "greater than or equal to 1; see  servable serve --help"),
        (["models", "show", "a b"], "'a b' does not name a model: expected NAME, NAME:VERSION or NAME@ALIAS"),
        (["serve", "nothing.onnx"], "there is no file or folder"),
    ],
)
def test_wrong_usage_is_one_line_and_ends_with_2(words, said, command):
    told = command(*words, code=2)
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert said in told.err


def test_errors_are_json_where_json_was_asked_for(command):
    assert command("models", "show", "nobody", "--json", code=1).json == {
        "error": "no model 'nobody' is registered (there are: none)",
        "code": "not_found",
    }


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    """As in `servable keys list | head -0`: the pipe is closed before anything is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "servable", "models", "--json", "--home", tmp_path],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import servable", {"numpy", "typer", "onnxruntime", "msgspec", "asyncio"}),
        ("import servable.cli; servable.cli.main(['--version'])", {"typer", "numpy", "msgspec"}),
        ("import servable.cli.commands", {"numpy", "onnxruntime", "sqlalchemy", "uvicorn", "servable.app"}),
        ("import servable.app, servable.server.targets", {"numpy", "onnxruntime", "sqlalchemy", "uvicorn", "grpc"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code, unwanted):
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not unwanted & set(told.stdout.split())
