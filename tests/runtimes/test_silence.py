"""What a library tells as it is imported: information is held back, all else comes through."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from servable.runtimes.silence import silence


def test_only_information_lines_are_held_back(capfd):
    with silence():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"I0000 00:00:1796082342.721607   21347 cudart_stub.cc:31] Could not find cuda drivers\n")
        os.write(2, b"E0000 00:00:1796082342.721607   21347 cuda.cc:31] It is broken\n")
        os.write(2, b"a warning of somebody else\n")
    assert capfd.readouterr().err.splitlines() == [
        "E0000 00:00:1796082342.721607   21347 cuda.cc:31] It is broken",
        "a warning of somebody else",
    ]


def test_what_was_said_before_an_import_failed_is_not_lost(capfd):
    def broken():
        with silence():
            os.write(2, b"libcudart is missing\n")
            raise ImportError

    with pytest.raises(ImportError):
        broken()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "libcudart is missing\nafter\n"


def test_tensorflow_is_imported_without_a_word():
    command = [sys.executable, "-c", "from servable.runtimes.graph import tensorflow; print(tensorflow('m').__name__)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["tensorflow"]
    assert done.stderr == ""
