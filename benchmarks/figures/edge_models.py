"""Models that others made, on a device: sentences to vectors, speech, types of files, in Chromium. What they weigh, how
close the lighter one stays to the original, and how long an answer takes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

import servable
from benchmarks.bench import Bench
from benchmarks.figure import Figure
from servable.bundles.load import Predictor, load
from servable.edge.cases import plain_body
from servable.edge.devices import in_browser
from servable.edge.export import export
from servable.edge.fit import Fit
from servable.edge.policy import Limits
from tests.e2e.test_onnx_models import path_of, speech
from tests.texts import minilm

MOST_BYTES: Final = 30_000_000
LEAST_COSINE: Final = 0.98
SENTENCES: Final = 100
DOCS: Final = Path(__file__).parents[2] / "docs"


def edge_models(bench: Bench) -> list[Figure]:
    """Each exported without a proof, which the tests make; opened in a new browser each time."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        place = Path(text)
        return [*_sentences(bench, place), *_speech(bench, place), *_files(bench, place)]


def sentences() -> list[str]:
    """Sentences that somebody wrote: those of the documentation."""
    lines = [line.strip() for page in sorted(DOCS.glob("*.md")) for line in page.read_text().splitlines()]
    return [line for line in lines if line[:1].isupper() and line.count(" ") > 6][:SENTENCES]


def _sentences(bench: Bench, place: Path) -> list[Figure]:
    bench.tell("a model of sentences, exported to a browser")
    servable.pack(minilm(), name="minilm", sample=sentences(), output=place / "minilm")
    fit = Fit(Limits(max_bytes=MOST_BYTES, max_loss=1 - LEAST_COSINE))
    with load(place / "minilm") as predictor:
        made = export(predictor, "1", place / "minilm-web", proof=False, fit=fit)
        runs = _asked(bench, predictor, place / "minilm-web")
    chosen = next(each for each in made.table if each.variant == made.variant)
    cosines = tuple(each.cosine for each in chosen.losses if each.cosine is not None)
    name = f"all-MiniLM-L6-v2 ({chosen.variant}) in Chromium"
    return [
        Figure(f"{name}: its model", (chosen.bytes / 2**20,), "MiB", at_most=MOST_BYTES / 2**20),
        Figure(f"{name}: the lowest cosine to the original, {SENTENCES} sentences", cosines, "cosine",
               at_least=LEAST_COSINE),
        *_times(name, runs),
    ]  # fmt: skip


def _speech(bench: Bench, place: Path) -> list[Figure]:
    bench.tell("a model of speech, exported to a browser")
    sample = {
        "input": speech(0, "silero_vad", 1)[0], "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16_000),
    }  # fmt: skip
    return _exported(bench, place, "silero_vad", sample)


def _files(bench: Bench, place: Path) -> list[Figure]:
    bench.tell("a model of file types, exported to a browser")
    rows = np.random.default_rng(0).integers(0, 257, (16, 2048)).astype(np.int32)
    return _exported(bench, place, "magika", {"bytes": rows})


def _exported(bench: Bench, place: Path, name: str, sample: dict[str, Any]) -> list[Figure]:
    servable.pack(path_of(name), name=name, sample=sample, output=place / name)
    with load(place / name) as predictor:
        export(predictor, "1", place / f"{name}-web", proof=False)
        return _times(f"{name} in Chromium", _asked(bench, predictor, place / f"{name}-web"))


def _asked(bench: Bench, predictor: Predictor, folder: Path) -> list[tuple[float, float]]:
    """Milliseconds from a cold page to the first answer, and of one after it; one pair a repeat."""
    runs = [in_browser(folder, [plain_body(predictor.bundle)]) for _ in range(bench.repeats)]
    return [(run.first_ms, run.p50_ms) for run in runs if run.first_ms is not None and run.p50_ms is not None]


def _times(name: str, runs: list[tuple[float, float]]) -> list[Figure]:
    return [
        Figure(f"{name}: from a cold page to the first answer", tuple(first for first, _ in runs), "ms"),
        Figure(f"{name}: an answer after that, p50", tuple(after for _, after in runs), "ms"),
    ]
