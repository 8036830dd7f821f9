"""What a format costs: a pickled forest through its ONNX conversion, a PMML forest through its translation."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

import servable
from benchmarks import ours
from benchmarks.bench import Bench, rate_of
from benchmarks.case import DISTINCT, Case
from benchmarks.figure import Figure, thousands
from benchmarks.figures.peers import Missing, running
from benchmarks.peers import mlserver_sklearn

PMML: Final = Path(__file__).resolve().parent.parent.parent / "tests" / "data" / "pmml"
TREES: Final = 100
ROWS: Final = (1, 64, 512)
WARM_UP_S: Final = 6.0
"""What a JVM takes until it runs no faster."""


def pickled(bench: Bench) -> list[Figure]:
    """Requests a second for the same joblib file: packed here, opened by MLServer's own runtime there."""
    peer = mlserver_sklearn.PEER
    name = f"requests/s of a pickled random forest against {peer.name}"
    bench.tell(f"{peer.name}: install and start")
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        mine, theirs = _forest(Path(text))
        try:
            with running(peer, theirs) as other, ours.serve(mine) as server:
                traffic = server.traffic(mine)
                bench.warm(traffic, other.traffic)
                pairs = bench.turns(lambda: bench.load(traffic), lambda: bench.load(other.traffic))
        except Missing as problem:
            return [Figure(name, at_least=peer.goal, missing=str(problem))]
    rates = [thousands(rate_of(loads)) for loads in ([one for one, _ in pairs], [one for _, one in pairs])]
    ratios = tuple(one.rate / other.rate for one, other in pairs)
    return [Figure(name, ratios, at_least=peer.goal, absolute=" to ".join(rates))]


def pmml(bench: Bench) -> list[Figure]:
    """Rows a second of a PMML forest in process, against pypmml's JVM, once that has compiled what it runs. Each is
    given the form that it takes quickest: arrays by name here, JSON there.
    """
    import pandas as pd
    import pypmml

    told = json.loads((PMML / "forest_cancer.json").read_text())
    table = pd.DataFrame(told["inputs"])
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        path = Path(text) / "forest.pmml"
        path.write_text(_hundred_trees(gzip.decompress((PMML / "forest_cancer.pmml.gz").read_bytes()).decode()))
        theirs = pypmml.Model.load(str(path))
        try:
            with servable.load(path) as mine:
                _agree(mine.predict(table), theirs.predict(table))
                return [_rows_a_call(bench, mine, theirs, table, rows) for rows in ROWS]
        finally:
            pypmml.PMMLContext.shutdown()


def _rows_a_call(bench: Bench, mine: Any, theirs: Any, table: Any, rows: int) -> Figure:
    some = table.loc[np.arange(rows) % len(table)].reset_index(drop=True)
    columns = {field.name: some[[field.name]].to_numpy(field.dtype) for field in mine.signature.inputs}
    columns = {name: column.reshape(_shape(mine, name)) for name, column in columns.items()}
    text = some.to_json(orient="split", index=False)
    bench.tell(f"{rows} rows a call: warm up")
    _rate(lambda: theirs.predict(text), rows, WARM_UP_S)
    pairs = bench.turns(
        lambda: _rate(lambda: mine.predict(columns), rows, bench.seconds),
        lambda: _rate(lambda: theirs.predict(text), rows, bench.seconds),
    )
    rates = [thousands(float(np.median(rates))) for rates in zip(*pairs, strict=True)]
    return Figure(
        f"rows/s of a PMML forest of 100 trees in process against pypmml, {rows} a call",
        tuple(one / other for one, other in pairs),
        at_least=20 if rows > 1 else None,
        absolute=" to ".join(rates),
    )


def _forest(folder: Path) -> tuple[Case, Case]:
    """A random forest on the breast-cancer data as a joblib file, and packed from it; each with its own outputs."""
    import joblib
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    data, target = load_breast_cancer(return_X_y=True)
    data = data.astype(np.float32)
    forest = RandomForestClassifier(TREES, random_state=0, n_jobs=1).fit(data, target)
    joblib.dump(forest, folder / "model.joblib")
    servable.pack(
        folder / "model.joblib", name="forest", sample=data, allow_unsafe=True, to="onnx", output=folder / "forest"
    )
    parts = tuple(data[at : at + 1] for at in range(DISTINCT))
    labels = forest.predict(data[:DISTINCT])
    mine = Case(folder / "forest", "input", parts, tuple({"label": np.array([label])} for label in labels))
    theirs = replace(
        mine, model=folder / "model.joblib", expected=tuple({"predict": np.array([label])} for label in labels)
    )
    return mine, theirs


def _agree(mine: Any, theirs: Any) -> None:
    shared = [name for name in theirs.columns if name in mine.columns]
    if not shared:
        raise ValueError(f"no output in common: {list(mine.columns)} and {list(theirs.columns)}")
    for name in shared:
        np.testing.assert_allclose(mine[name].astype(float), theirs[name].astype(float), atol=1e-6)


def _hundred_trees(text: str) -> str:
    """The document with each of its trees as often as makes a hundred: the average stays what it was."""
    trees = re.findall(r"<Segment\b.*?</Segment>", text, re.DOTALL)
    return text.replace("</Segmentation>", "".join(trees * (TREES // len(trees) - 1)) + "</Segmentation>", 1)


def _shape(predictor: Any, name: str) -> tuple[int, ...]:
    """One value a row, with as many axes as the input has."""
    return (-1, *(1 for _ in predictor.signature.input(name).shape[1:]))


def _rate(call: Any, rows: int, seconds: float) -> float:
    """Rows a second, so many a call."""
    calls, start = 0, perf_counter()
    while (spent := perf_counter() - start) < seconds:
        call()
        calls += 1
    return calls * rows / spent
