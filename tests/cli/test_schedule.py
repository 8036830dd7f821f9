from __future__ import annotations

import pytest


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
