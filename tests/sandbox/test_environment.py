"""What a process of foreign code sees of the variables of whoever starts it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from servable.sandbox.environment import environment


def test_sets_of_texts_have_one_order_in_all_processes_and_secrets_stay_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVABLE_TEST_SECRET", "swordfish")
    told = set()
    for seed in ("1", "random"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        line = "import os; print(list(set('abcdefgh')), 'SERVABLE_TEST_SECRET' in os.environ)"
        told.add(
            subprocess.run([sys.executable, "-c", line], env=environment(), check=True, capture_output=True).stdout
        )
    (only,) = told
    assert only.strip().endswith(b"False")
