"""What learning costs and how quick it is: predictions beside it, lessons a second, until they are seen, a restart."""

from __future__ import annotations

import http.client
import json
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import numpy as np

from benchmarks import learning
from benchmarks.bench import Bench, median
from benchmarks.figure import Figure, thousands
from benchmarks.machine import LOAD_CORE, SERVER_CORE
from benchmarks.traffic import HOST
from servable.domain.batch import Batch
from servable.online.event import Examples, column, columns
from servable.online.journal import Journal

MILLION: Final = 1_000_000
SEEN: Final = 1000
RIVER_ROWS: Final = 2000
PIPELINES: Final = {
    "scaled logistic regression": "preprocessing.StandardScaler() | linear_model.LogisticRegression()",
    "a Hoeffding tree": "tree.HoeffdingTreeClassifier()",
    "an adaptive random forest of 10": "forest.ARFClassifier(n_models=10, seed=42)",
}
SOURCE: Final = """
import servable


class Pupil(servable.RiverLearner):
    inputs = {{"x": "FP64 [-1, {width}]"}}
    classes = (0, 1)

    def model(self):
        from river import forest, linear_model, preprocessing, tree

        return {pipeline}
"""


def online(bench: Bench) -> list[Figure]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        model = learning.described(folder)
        with learning.serve(model) as server:
            figures = [*beside(bench, server), *lessons(bench, server), seen(bench, server)]
        return [*figures, restart(bench, model, folder), *(river(bench, folder, name) for name in PIPELINES)]


def beside(bench: Bench, server: learning.Learning) -> list[Figure]:
    """A door's predictions while its learner is taught at full speed by another, against while it is idle. The door and
    its client share one core, the learner and who feeds it the other, and in the runs without that one is idle: what is
    lost is what learning takes from the door, not what the client takes from the learner. Cores share more than is
    theirs: so also against while the other core is as busy with something else. And with the client on the learner's
    core, where the door has its own for itself, by clock and by the door's processor.
    """
    questions = server.questions()
    bench.load(questions)
    learned: dict[int, list[float]] = {SERVER_CORE: [], LOAD_CORE: []}

    def asked(core: int) -> tuple[float, float]:
        before, _ = server.cpu_s()
        load = bench.load(questions, core=core)
        return load.rate, (server.cpu_s()[0] - before) / load.requests * 1e6

    def fed(core: int) -> tuple[float, float]:
        before, begun = server.applied(), perf_counter()
        with server.fed():
            seen = asked(core)
            learned[core].append((server.ask("GET", "/learning")["learned"] - before) / (perf_counter() - begun))
        server.applied()
        return seen

    def spun(core: int) -> tuple[float, float]:
        with learning.spinning():
            return asked(core)

    measures = [partial(measure, core) for core in (SERVER_CORE, LOAD_CORE) for measure in (fed, asked, spun)]
    rounds = list(zip(*bench.turns(*measures), strict=True))
    (busy, idle, spun_rate), (busy_alone, idle_alone, _) = (
        [[rate for rate, _ in seen] for seen in rounds[at : at + 3]] for at in (0, 3)
    )
    costs = [[cost for _, cost in seen] for seen in rounds[3:]]
    name = "predictions of a door while it learns at full speed, against while it does not"
    at_work, apart = (f"{thousands(median(rates))} examples/s learned meanwhile" for rates in learned.values())
    return [
        Figure(name, ratios(busy, idle), at_least=0.9, absolute=f"{between(busy, idle)} requests/s; {at_work}"),
        Figure(
            f"{name}, and another process is as busy",
            ratios(busy, spun_rate),
            absolute=f"{between(busy, spun_rate)} requests/s",
        ),
        Figure(
            f"{name}, its client on the learner's core",
            ratios(busy_alone, idle_alone),
            absolute=f"{between(busy_alone, idle_alone)} requests/s; {apart}",
        ),
        Figure(
            f"{name}, its client on the learner's core: each second of its processor",
            ratios(costs[1], costs[0]),
            absolute=f"{median(costs[0]):.0f} to {median(costs[1]):.0f} µs a request, "
            f"{median(costs[2]):.0f} while another process is as busy",
        ),
    ]


def ratios(some: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    """One to the other, turn by turn."""
    return tuple(one / other for one, other in zip(some, others, strict=True))


def between(some: Sequence[float], others: Sequence[float]) -> str:
    """Their medians, in words."""
    return f"{thousands(median(some))} to {thousands(median(others))}"


def lessons(bench: Bench, server: learning.Learning) -> list[Figure]:
    """Examples a second over HTTP, each on the disk before it is acknowledged, until all of them are learned."""
    kinds = {100: (server.lessons(100), 16), 1: (server.lessons(1), 64)}
    acknowledged: dict[int, list[float]] = {rows: [] for rows in kinds}
    used: dict[int, list[tuple[float, float]]] = {rows: [] for rows in kinds}

    def rate(rows: int) -> float:
        before, cpu, begun = server.applied(), server.cpu_s(), perf_counter()
        acknowledged[rows].append(bench.load(*kinds[rows]).rate * rows)
        learned, took_s = server.applied() - before, perf_counter() - begun
        door, learner = (now - then for now, then in zip(server.cpu_s(), cpu, strict=True))
        used[rows].append((door / learned * 1e6, learner / learned * 1e6))
        return learned / took_s

    seen = zip(*bench.turns(partial(rate, 100), partial(rate, 1)), strict=True)
    names = {100: "in lessons of 100", 1: "one by one, 64 connections"}
    figures = []
    for (rows, name), rates in zip(names.items(), seen, strict=True):
        door, learner = (median(times) for times in zip(*used[rows], strict=True))
        figures.append(
            Figure(
                f"examples over HTTP {name}, on disk and learned",
                rates,
                "events/s",
                at_least=20_000 if rows == 100 else 2_000,
                absolute=f"{thousands(median(acknowledged[rows]))} acknowledged a second; of CPU, {door:.0f} µs each "
                f"in the door and {learner:.0f} µs in the learner",
            )
        )
    return figures


def seen(bench: Bench, server: learning.Learning) -> Figure:
    """From sending an example to knowing that predictions are computed with it: one after another on a connection."""
    x, y = learning.stream(SEEN, seed=2)
    samples, middles = [], []
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    for _ in range(bench.repeats):
        times = []
        for row in range(SEEN):
            body = json.dumps({"inputs": [learning.tensor(x[row : row + 1])], "outcomes": [int(y[row])]})
            begun = perf_counter()
            connection.request("POST", f"{learning.PATH}/learn?wait=applied", body)
            answer = connection.getresponse()
            answer.read()
            times.append((perf_counter() - begun) * 1e3)
            if answer.status != 200:
                raise ValueError(f"an example was answered with {answer.status}")
        p50, p99 = np.percentile(times, (50, 99))
        middles.append(float(p50))
        samples.append(float(p99))
    connection.close()
    absolute = f"p50 {median(middles):.1f} ms"
    return Figure("from an example to answers with it, p99", tuple(samples), "ms", at_most=50, absolute=absolute)


def restart(bench: Bench, model: Path, folder: Path) -> Figure:
    """From the start of a server to its first answer, with a million examples in the journal and no snapshot."""
    bench.tell("a journal of a million examples")
    home = folder / "home"
    _journal(home / "online" / "learner" / "1" / "journal")
    begun = perf_counter()
    with learning.serve(model, home) as server:
        took_s = perf_counter() - begun
        offset = server.applied()
    if offset != MILLION:
        raise ValueError(f"{offset} examples were taken up, and not {MILLION}")
    name = "restart with a million examples after the last snapshot"
    return Figure(name, (took_s,), "s", at_most=60, absolute=f"{thousands(MILLION / took_s)} examples/s")


def _journal(folder: Path) -> None:
    journal = Journal(folder)
    x, y = learning.stream(MILLION // 10)
    lessons = []
    for start in range(0, MILLION, 100):
        own = slice(start % len(x), start % len(x) + 100)
        ids = tuple(f"{start}/{row}" for row in range(100))
        told = columns(Batch({"x": x[own]})), column("", y[own])
        lessons.append(Examples(0.0, "", ids, (0,) * 100, *told))
    for start in range(0, len(lessons), 1000):
        journal.append(lessons[start : start + 1000])
    journal.close()


def river(bench: Bench, folder: Path, name: str) -> Figure:
    """The time of its process for each example, in lessons of 100, against asking and teaching River here, lesson by
    lesson in turns: what slows the machine slows both. No row comes twice.
    """
    import servable

    source = folder / "learner.py"
    source.write_text(SOURCE.format(width=learning.WIDTH, pipeline=PIPELINES[name]))
    bundle = folder / name.replace(" ", "-") / "learner"
    servable.pack(source, output=bundle, allow_unsafe=True)
    x, y = learning.stream(RIVER_ROWS * bench.repeats, seed=3)
    lessons = iter([slice(at, at + 100) for at in range(0, len(x), 100)])
    alone = _model(PIPELINES[name])
    with learning.serve(bundle) as server:

        def both() -> tuple[float, float]:
            before, theirs = server.cpu_s()[1], 0.0
            for lesson in islice(lessons, RIVER_ROWS // 100):
                document = {"inputs": [learning.tensor(x[lesson])], "outcomes": y[lesson].tolist()}
                server.ask("POST", "/learn?wait=applied", document)
                theirs += _taught(alone, x[lesson], y[lesson])
            return (server.cpu_s()[1] - before) / RIVER_ROWS, theirs / RIVER_ROWS

        pairs = [pair for (pair,) in bench.turns(both)]
    cost = [median(times) * 1e6 for times in zip(*pairs, strict=True)]
    return Figure(
        f"River: {name}, learned by a server against in process",
        tuple(mine / theirs for mine, theirs in pairs),
        at_most=1.3,
        absolute=f"{cost[0]:.0f} to {cost[1]:.0f} µs an example",
    )


def _model(pipeline: str) -> Any:
    from river import forest, linear_model, preprocessing, tree

    names = {"forest": forest, "linear_model": linear_model, "preprocessing": preprocessing, "tree": tree}
    return eval(pipeline, names)  # noqa: S307 - one of the texts above


def _taught(model: Any, x: Any, y: Any) -> float:
    """Seconds of CPU to ask River about each row and then to teach it."""
    keys = [f"x[{place}]" for place in range(x.shape[1])]
    begun = process_time()
    for row, outcome in zip(x.tolist(), y.tolist(), strict=True):
        features = dict(zip(keys, row, strict=True))
        model.predict_proba_one(features)
        model.learn_one(features, outcome)
    return process_time() - begun
