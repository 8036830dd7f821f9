"""What a bandit among versions of a model costs a request, and what it saves against an A/B split."""

from __future__ import annotations

import http.client
import json
import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Final

import numpy as np

from benchmarks import ours
from benchmarks.bench import Bench, median, rate_of
from benchmarks.case import trees_case
from benchmarks.figure import Figure, thousands
from benchmarks.figures.routing import served
from benchmarks.learning import cpu_s
from benchmarks.process import NotServing, free_port, started, tail
from benchmarks.traffic import HOST
from servable.bundles.pack import pack
from servable.domain.batch import Array
from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.registry.registry import Registry
from servable.release.acts import Acts
from tests.packed import bandit_at

VISITS: Final = 1000
RUNS: Final = 3
PATIENCE_S: Final = 60.0


def bandits(bench: Bench) -> list[Figure]:
    """Both."""
    return [*decision(bench), regret(bench)]


def decision(bench: Bench) -> list[Figure]:
    """LinUCB on 30 numbers chooses between two versions that are the same model, for each request; what it chose is on
    its way to the journal meanwhile. Against a plain Route.
    """
    case = trees_case()
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:

        def by_bandit(acts: Acts) -> None:
            inputs = {case.source: f"FP32 [-1, {case.parts[0].shape[1]}]"}
            acts.registry.register(bandit_at(Path(text) / "choice", ["1", "2"], inputs))
            acts.bandit("model", Ref("choice"))

        with served(case, by_bandit) as chosen, served(case) as plain:
            ways = [chosen.traffic(case), plain.traffic(case)]
            bench.warm(*ways)
            _chosen(chosen.port, "model", {"inputs": [_tensor(case.source, case.parts[0])]})
            used: list[tuple[float, float]] = []

            def asked(place: int) -> Any:
                door = (chosen, plain)[place].door
                before = cpu_s(door)
                load = bench.load(ways[place])
                used.append((place, (cpu_s(door) - before) / load.requests * 1e3))
                return load

            pairs = bench.turns(lambda: asked(0), lambda: asked(1))
    costs = [[ms for place, ms in used if place == wanted] for wanted in (0, 1)]
    rates = f"{thousands(rate_of([a for a, _ in pairs]))} to {thousands(rate_of([b for _, b in pairs]))}"
    return [
        Figure(
            "requests/s where a bandit chooses the version, against a plain Route",
            tuple(a.rate / b.rate for a, b in pairs),
            absolute=rates,
        ),
        Figure(
            "the door's processor for a request whose version a bandit chooses",
            tuple(costs[0]),
            "ms",
            absolute=f"{median(costs[1]):.3f} ms without it",
        ),
    ]


def regret(bench: Bench) -> Figure:
    """Over HTTP, one request and its reward after the other: the answers that were worse than those of the better
    version would have been, by Thompson sampling, against an A/B split of half and half.
    """
    lost, split, late = [], [], []
    runs = min(bench.repeats, RUNS)
    for repeat in range(runs):
        bench.tell(f"regret, {repeat + 1} of {runs}")
        with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
            x, rewards = _versions(Path(text))
            order = np.random.default_rng(repeat).integers(0, len(x), VISITS)
            arms = _visits(Path(text), x[order], rewards[order])
            draw = Route("1", "2", 0.5, salt=str(repeat)).chooser()
            drawn = np.array([int(draw(str(visit))) - 1 for visit in range(VISITS)])
            missed = rewards[order].max(axis=1) - rewards[order, arms]
            lost.append(float(missed.sum()))
            late.append(float(missed[VISITS // 2 :].sum()))
            split.append(float((rewards[order].max(axis=1) - rewards[order, drawn]).sum()))
    return Figure(
        f"regret in {VISITS} requests by a bandit among two versions, against an A/B split",
        tuple(own / other for own, other in zip(lost, split, strict=True)),
        at_most=0.5,
        absolute=f"{median(lost):.0f} to {median(split):.0f} answers worse than the other version's; "
        f"{median(late):.0f} of them in the second half",
    )


def _versions(folder: Path) -> tuple[Array, Array]:
    """Registers two versions, each good for a part of the inputs, and a bandit; the inputs, and what either version's
    answer to each is worth.
    """
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, kinds = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    registry = Registry(folder / "home")
    right = []
    for unseen in (2, 0):
        known = unseen != kinds
        model = LogisticRegression(max_iter=1000).fit(x[known], kinds[known])
        registry.register(pack(model, name="flowers", sample=x, output=folder / f"without-{unseen}").folder)
        right.append(model.predict(x) == kinds)
    described = {"learner": "thompson", "inputs": {"input": "FP32 [-1, 4]"}, "actions": ["1", "2"]}
    (folder / "choice.json").write_text(json.dumps(described))
    registry.register(pack(folder / "choice.json", name="choice", output=folder / "choice").folder)
    registry.promote(Ref("flowers", "1"))
    Acts(registry).bandit("flowers", Ref("choice"))
    return x, np.stack(right, axis=1).astype(float)


def _visits(folder: Path, x: Array, rewards: Array) -> list[int]:
    """The places of the versions that were chosen."""
    port = free_port()
    command = [
        ours.SERVABLE, "serve", "flowers", "--home", str(folder / "home"), "--http-port", str(port),
        "--grpc-port", str(free_port()), "--workers", "1",
    ]  # fmt: skip
    arms = []
    with started(command, {}, folder / "log", folder) as process:
        try:
            _chosen(port, "flowers", {"inputs": [_tensor("input", x[:1])]})
        except NotServing as error:
            raise NotServing(f"{error}; {tail(process.log)}") from error
        connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
        for visit, row in enumerate(x):
            told = _post(connection, "flowers/infer", {"id": str(visit), "inputs": [_tensor("input", row[None])]})
            arms.append(int(told["parameters"]["arm"]) - 1)
            outcome = {"id": str(visit), "outcome": rewards[visit, arms[-1]]}
            _post(connection, "flowers/feedback?wait=applied", {"outcomes": [outcome]})
        connection.close()
    return arms


def _chosen(port: int, model: str, asked: dict[str, Any]) -> None:
    """Return once the bandit chooses: until it is there the live version answers. Raises NotServing."""
    begun = perf_counter()
    while perf_counter() - begun < PATIENCE_S:
        connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
        try:
            if "arm" in _post(connection, f"{model}/infer", asked).get("parameters", {}):
                return
        except OSError:
            pass
        finally:
            connection.close()
        sleep(0.05)
    raise NotServing(f"no bandit chooses for {model}")


def _post(connection: http.client.HTTPConnection, path: str, document: Any) -> dict[str, Any]:
    connection.request("POST", f"/v2/models/{path}", json.dumps(document))
    answer = connection.getresponse()
    told: dict[str, Any] = json.loads(answer.read())
    return told


def _tensor(name: str, x: Array) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
