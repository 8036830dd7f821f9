"""Bulk jobs beside MLflow's and MLServer's: the same rows and model, all cores on both sides, from file to file.

Both sides get as many rows: PEER_ROWS (2,000,000 of itself) from Parquet, half of that from CSV, a twentieth from JSON
Lines, which MLServer takes half a minute for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyarrow import csv, parquet

import servable
from benchmarks import models, venv
from benchmarks.bench import Bench
from benchmarks.case import trees_case
from benchmarks.figure import Figure, thousands
from benchmarks.figures import bulk
from benchmarks.figures.peers import Missing, running
from benchmarks.peers import mlflow, mlserver
from benchmarks.peers.peer import Peer, Place

ROWS: Final = int(os.environ.get("PEER_ROWS", "2000000"))
GOAL: Final = 5.0
SPARK: Final = Peer(
    "mlflow-spark",
    "MLflow's spark_udf",
    mlflow.prepare,
    "",
    packages=("mlflow", "onnxruntime", "pyspark", "pyarrow", "pandas"),
)


def bulk_peers(bench: Bench) -> list[Figure]:
    """One run each: they take minutes, and the ratios are not near the goal."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        figures = []
        for name, measure in (
            ("a bulk job against MLflow's spark_udf, Parquet to Parquet", _spark),
            ("a bulk job against mlflow models predict, from CSV", _predict),
            ("a bulk job against MLServer's infer, from JSON Lines", _infer),
        ):
            bench.tell(name)
            try:
                mine, theirs, told = measure(folder)
            except (Missing, venv.NotInstalled, subprocess.CalledProcessError) as problem:
                said = getattr(problem, "stderr", None) or str(problem)
                figures.append(Figure(name, at_least=GOAL, missing=str(said)[-300:]))
                continue
            told = f"{thousands(mine)} to {thousands(theirs)} rows/s; {told}"
            figures.append(Figure(name, (mine / theirs,), at_least=GOAL, absolute=told))
        return figures


def _ours(source: Path, folder: Path, rows: int, *more: str) -> float:
    """Rows a second of the whole command, its start and all. The model was packed before, as theirs was saved."""
    packed = folder / "bundle"
    if not packed.exists():
        servable.pack(models.trees(), name="trees", output=packed)
    command = [
        sys.executable, "-m", "servable", "batch", str(packed), "--input", str(source),
        "--output", str(folder / f"ours-{source.name}"), "--home", str(folder / "home"), "--json", *more,
    ]  # fmt: skip
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if json.loads(done.stdout)["numbers"]["answered"] != rows:
        raise Missing(f"our own job did not answer all: {done.stdout[:300]}")
    return rows / seconds


def _spark(folder: Path) -> tuple[float, float, str]:
    source = folder / "rows.parquet"
    bulk.night(source, ROWS)
    place = _saved(folder)
    command = [
        str(place.python), "-m", "benchmarks.peers.apps.spark_udf", str(place.folder / "saved"), str(source),
        str(folder / "theirs"),
    ]  # fmt: skip
    environment = os.environ | SPARK.environment(place) | {"PYSPARK_PYTHON": str(place.python)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds = float(done.stdout.rpartition("SECONDS ")[2])
    told = f"{ROWS:,} rows; its start is not counted, ours is"
    return _ours(source, folder, ROWS, "--key", "id"), ROWS / seconds, told


def _predict(folder: Path) -> tuple[float, float, str]:
    source, rows = folder / "rows.csv", ROWS
    csv.write_csv(_rows(rows).drop(["id"]), source)
    place = _saved(folder)
    command = [
        place.tool("mlflow"), "models", "predict", "--model-uri", str(place.folder / "saved"), "--env-manager", "local",
        "--input-path", str(source), "--content-type", "csv", "--output-path", str(folder / "answers.json"),
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | SPARK.environment(place))
    seconds = time.perf_counter() - began
    told = f"{rows:,} rows; both commands from start to end, both write the answers alone"
    return _ours(source, folder, rows, "--columns", ""), rows / seconds, told


def _infer(folder: Path) -> tuple[float, float, str]:
    rows = ROWS // 20
    asked, source = folder / "requests.jsonl", folder / "rows.jsonl"
    with asked.open("w") as file:
        file.writelines(f"{json.dumps(_request(row))}\n" for row in _matrix(rows))
    with source.open("w") as file:
        file.writelines(f"{json.dumps({'x': row})}\n" for row in _matrix(rows))
    with running(mlserver.PEER, trees_case()) as theirs:
        command = [
            theirs.place.tool("mlserver"), "infer", "--url", f"127.0.0.1:{theirs.place.port}", "--model-name", "model",
            "--input-data-path", str(asked), "--output-data-path", str(folder / "answers.jsonl"), "--workers", "8",
            "--batch-size", "64",
        ]  # fmt: skip
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        answered = (folder / "answers.jsonl").read_text().count("\n")
    if answered != rows:
        raise Missing(f"mlserver infer answered {answered} of {rows} rows")
    told = f"{rows:,} rows; its server was up, 64 rows a request, 8 workers; both write the answers alone"
    return _ours(source, folder, rows, "--columns", ""), rows / seconds, told


def _request(row: list[float]) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 30], "datatype": "FP32", "data": row}]}


def _matrix(rows: int) -> list[list[float]]:
    columns = _rows(rows)
    found: list[list[float]] = np.column_stack([columns.column(f"f{at}").to_numpy() for at in range(30)]).tolist()
    return found


def _rows(count: int) -> Any:
    """Some of those that `bulk` makes."""
    with tempfile.TemporaryDirectory() as text:
        path = Path(text) / "night.parquet"
        bulk.night(path, count)
        return parquet.read_table(path)


def _saved(folder: Path) -> Place:
    """MLflow's model, saved once."""
    place = Place(venv.python_of(SPARK.id, SPARK.packages), models.trees(), folder / "mlflow", 0, 0)
    if not place.folder.exists():
        place.folder.mkdir()
        SPARK.prepare(place)
    return place
