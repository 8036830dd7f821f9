"""What an export costs whoever opens it: from a cold page to the first answer, each answer after it, bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier

import servable
from benchmarks.bench import Bench
from benchmarks.figure import Figure
from servable.bundles.load import load
from servable.edge.cases import bodies
from servable.edge.devices import in_browser
from servable.edge.export import export

FIRST_MS: Final = 1500
P50_MS: Final = 1
PAGE_KIB: Final = 100
CLIENT_KIB: Final = 15


def edge(bench: Bench) -> list[Figure]:
    """Gradient boosting of a hundred trees in Chromium, a new browser each time, from a port of this machine."""
    bench.tell("export to a browser")
    data = load_breast_cancer(as_frame=True)
    model = GradientBoostingClassifier(random_state=0).fit(data.data, data.target)
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        place = Path(text)
        servable.pack(model, name="tumours", sample=data.data, output=place / "bundle")
        with load(place / "bundle") as predictor:
            made = export(predictor, "1", place / "web", proof=False)
            row = [bodies(predictor.bundle, predictor.signature)[0]["rows"][:1]]
        runs = [in_browser(place / "web", [{"rows": row[0]}]) for _ in range(bench.repeats)]
    sizes = {name: size / 1024 for name, size in made.bytes.items()}
    name = "gradient boosting in Chromium"
    return [
        Figure(f"{name}: from a cold page to the first answer", _known(run.first_ms for run in runs), "ms",
               at_most=FIRST_MS),
        Figure(f"{name}: an answer after that, p50", _known(run.p50_ms for run in runs), "ms", at_most=P50_MS),
        Figure(f"{name}: all that the page downloads but the runtime", (sizes["the page without the runtime"],), "KiB",
               at_most=PAGE_KIB),
        Figure("the client of an export, gzipped", (sizes["the client, gzipped"],), "KiB", at_most=CLIENT_KIB),
    ]  # fmt: skip


def _known(times: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(time for time in times if time is not None)
