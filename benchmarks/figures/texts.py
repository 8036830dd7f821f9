"""What serving costs a language model: tokens a second and the time to the first one, over HTTP against llama.cpp
called in this process.

Both engines stand side by side with the same threads and are
asked in turns; while one is asked, the other is idle.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import xllamacpp

from benchmarks.bench import Bench
from benchmarks.figure import Figure
from servable.runtimes.gguf import CONTEXT, SLOTS, threads
from tests.e2e.serving import Serving
from tests.texts import smollm

MODEL: Final = "smollm"
TOKENS: Final = 48
PROMPT: Final = "Once upon a time, in a land of rivers and hills number"


class Text(NamedTuple):
    """Seconds to the first piece of a text, and to its end."""

    first_s: float
    whole_s: float


Make = Callable[[int], Text]


def in_process(folder: Path) -> Make:
    """Streams a text from the engine itself."""
    params = xllamacpp.CommonParams()
    params.model.path = str(smollm())
    params.n_parallel, params.n_ctx, params.cache_ram_mib = SLOTS, SLOTS * CONTEXT, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads()
    params.verbosity = -1
    params.hostnames = [str(folder / "engine.sock")]
    engine = xllamacpp.Server(params)

    def make(number: int) -> Text:
        times: list[float] = []
        start = time.perf_counter()
        engine.handle_completions(_asked(number), lambda _: times.append(time.perf_counter()))
        return Text(times[0] - start, times[-1] - start)

    return make


def over_http(url: str, client: httpx.Client) -> Make:
    """Streams a text from a door."""

    def make(number: int) -> Text:
        start = time.perf_counter()
        with client.stream("POST", f"{url}/v1/completions", json={"model": MODEL, **_asked(number)}) as answer:
            times = [time.perf_counter() for line in answer.iter_lines() if line.startswith("data: {")]
        return Text(times[0] - start, times[-1] - start)

    return make


def _asked(number: int) -> dict[str, object]:
    return {"prompt": f"{PROMPT} {number}", "max_tokens": TOKENS, "temperature": 0, "stream": True}


def figures(ours: Make, own: Make, repeats: int) -> list[Figure]:
    """One text at a time, and as many as there are slots."""
    found = []
    for together in (1, SLOTS):
        rates, firsts, seen = [], [], []
        for turn in range(repeats):
            far, near = (_round(make, together, turn) for make in (ours, own))
            rates.append(far[0] / near[0])
            firsts.append(far[1] / near[1])
            seen.append((*far, *near))
        middle = [statistics.median(column) for column in zip(*seen, strict=True)]
        found += [
            Figure(
                f"tokens/s of {together} at a time against llama.cpp in process",
                tuple(rates),
                at_least=0.9,
                absolute=f"{middle[0]:.1f} to {middle[2]:.1f} tokens/s",
            ),
            Figure(
                f"time to the first token, {together} at a time, against llama.cpp in process",
                tuple(firsts),
                absolute=f"{middle[1] * 1e3:.0f} to {middle[3] * 1e3:.0f} ms",
            ),
        ]
    return found


def _round(make: Make, together: int, turn: int) -> tuple[float, float]:
    """Tokens a second of all together, and the median time to the first."""
    start = time.perf_counter()
    with ThreadPoolExecutor(together) as callers:
        texts = list(callers.map(make, range(turn * together, (turn + 1) * together)))
    seconds = time.perf_counter() - start
    return together * TOKENS / seconds, statistics.median(text.first_s for text in texts)


def texts(bench: Bench) -> list[Figure]:
    """Through a door, beside the engine alone."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        (folder / f"{MODEL}.gguf").symlink_to(smollm())
        own = in_process(folder)
        with Serving(folder, folder / f"{MODEL}.gguf", workers=1) as serving, httpx.Client(timeout=300) as client:
            serving.ready()
            ours = over_http(f"http://{serving.host}:{serving.port}", client)
            ours(0)
            own(0)
            return figures(ours, own, bench.repeats)
