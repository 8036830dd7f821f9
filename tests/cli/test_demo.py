from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from tests.cli.command import servable

DEMO = [sys.executable, "-m", "servable", "demo"]


def test_once_shows_an_answer_next_to_the_truth():
    told = servable("demo", "--once")
    assert told.code == 0, told.err
    assert "the truth: malignant" in told.out
    assert "malignant (" in told.out
    assert "/docs" in told.out
    assert "\x1b[" not in told.out, "colours belong on a terminal"


def test_it_stays_up_and_its_curl_line_works_until_ctrl_c(tmp_path):
    """State goes to the home that was named; without one to a folder that goes with the demo."""
    with subprocess.Popen(
        [*DEMO, "--json", "--home", str(tmp_path / "home")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout
        told = json.loads(demo.stdout.readline())
        assert told["answer"]["label"] == told["truth"] == "malignant"
        answer = subprocess.run(["bash", "-c", told["curl"]], capture_output=True, text=True, check=True).stdout
        assert json.loads(answer)["outputs"][0]["data"] == ["malignant"]
        with urllib.request.urlopen(told["docs"]) as page:
            assert page.status == 200
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0, demo.stderr.read() if demo.stderr else ""
    assert (tmp_path / "home" / "registry.db").exists()


def test_a_demo_that_is_not_there():
    told = servable("demo", "iris")
    assert told.code == 2
    assert "there is no demo 'iris'; there are: breast-cancer" in told.err


def test_without_scikit_learn_it_says_what_to_install(tmp_path):
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("raise ModuleNotFoundError('no', name='sklearn')")
    told = servable("demo", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert told.code == 3
    assert "pip install 'servable[sklearn]'" in told.err


@pytest.mark.parametrize("word", ["--once"])
def test_a_server_that_cannot_start_is_a_failure(word, tmp_path):
    (tmp_path / "home").write_text("a file, where state should lie")
    told = servable("demo", word, "--home", tmp_path / "home")
    assert told.code == 3
    assert "choose another with --home" in told.err
