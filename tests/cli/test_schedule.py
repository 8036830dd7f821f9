from __future__ import annotations

import pytest

from tests.offline.files import csv_files
from tests.packed import scaler


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["churn", "--inptu", "night.parquet"], "[nightly]: batch: No such option: --inptu"),
        (["churn", "--input"], "[nightly]: batch: Option '--input' requires an argument"),
        (["churn", "--keep", "two"], "[nightly]: batch: Invalid value for '--keep'"),
    ],
)
def test_words_that_a_batch_does_not_know_are_told_before_the_night(words, told, command, tmp_path):
    path = tmp_path / "nightly.toml"
    path.write_text(f'[nightly]\ncron = "30 2 * * *"\nbatch = {words}\n')
    assert told in command("schedule", path, "--once", code=2).err


def test_what_was_run_is_told(command, tmp_path):
    assert "Nothing was run yet" in command("schedule", "--history").err
    path = tmp_path / "nightly.toml"
    words = [
        str(scaler(tmp_path / "m.onnx")),
        "--input",
        str(csv_files(tmp_path / "in")),
        "--key",
        "id",
        "--table",
        "t",
    ]
    path.write_text(f'[often]\nevery = "1s"\nbatch = {words}\n')
    while not (ran := command("schedule", path, "--once").out):  # the first time that it is seen it owes nothing
        pass
    assert ran.startswith("often: done: passed  batch: 30 of 30 rows answered, in table 't'")
    done, started = command("schedule", "--history", "--json").json
    assert (done["name"], done["what"], started["what"]) == ("often", "done", "started")
    assert done["due"] == started["due"] and "30 of 30 rows" in done["told"]
