"""The gate on a large table: every kind of check, beside a champion, slice by slice: a whole command from its start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier

import servable
from benchmarks.bench import Bench
from benchmarks.figure import Figure

ROWS: Final = 100_000
COLUMNS: Final = 30
TRAINED_ON: Final = 2000
DEMANDS: Final = (
    "accuracy>=0.5", "balanced_accuracy>=0.5", "auc>=0.5", "f1>=0.3", "log_loss<=2", "brier<=0.5", "ece<=0.5",
    "invariant to c2 for 1%", "rises with c1 for 1%", "p99_ms<=1000",
)  # fmt: skip


def gate(bench: Bench) -> list[Figure]:
    """Each repeat is a command of its own."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        rows = _prepared(folder)
        seconds = []
        for repeat in range(bench.repeats):
            bench.tell(f"{repeat + 1} of {bench.repeats}")
            seconds.append(_checked(folder, rows))
    name = f"gate on {ROWS:,} rows × {COLUMNS} columns, against a champion, in 8 slices"
    return [Figure(name, tuple(seconds), "s", at_most=20.0, absolute=f"{len(DEMANDS)} demands, from a CSV file")]


def _prepared(folder: Path) -> Path:
    """Two models of the same data, and the rows that neither was trained on."""
    values, truth = make_classification(ROWS + TRAINED_ON, COLUMNS, n_informative=12, random_state=0)
    table = pd.DataFrame(values, columns=[f"c{at}" for at in range(COLUMNS)]).assign(truth=truth)
    seen = table.iloc[:TRAINED_ON]
    for name, trees in (("candidate", 60), ("champion", 50)):
        model = GradientBoostingClassifier(n_estimators=trees, random_state=0)
        model.fit(seen.drop(columns="truth"), seen["truth"])
        servable.pack(model, name="large", sample=seen, label="truth", output=folder / name)
    regions = np.random.default_rng(0).choice(list("abcdefgh"), ROWS)
    table.iloc[TRAINED_ON:].assign(region=regions).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def _checked(folder: Path, rows: Path) -> float:
    """Seconds that the command takes. Whether the models pass is no matter here; that all is answered is."""
    demands = [word for demand in DEMANDS for word in ("--check", demand)]
    candidate, champion = str(folder / "candidate"), str(folder / "champion")
    command = [sys.executable, "-m", "servable", "check", candidate, "--against", champion]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--data", str(rows), "--by", "region", *demands],
        capture_output=True, text=True, check=False, env={**os.environ, "SERVABLE_HOME": str(folder / "home")},
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode not in {0, 1} or done.stdout.count("\n") < len(DEMANDS):
        raise RuntimeError(f"servable check ended with {done.returncode}: {done.stderr}")
    return seconds


if __name__ == "__main__":
    for figure in gate(Bench(3, 0.0, lambda _: None)):
        print(f"{figure.seen:.1f} {figure.unit}  {figure.goal()}  {figure.name} ({figure.spread()}; {figure.absolute})")
