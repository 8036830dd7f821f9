"""A Route with a canary and a shadow against a plain one: what the callers' own path keeps of its throughput."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks import ours
from benchmarks.bench import Bench, rate_of
from benchmarks.case import Case, dense_case, trees_case
from benchmarks.figure import Figure, thousands
from benchmarks.process import first_answer_s, free_port, started
from benchmarks.traffic import traffic
from servable.bundles.digest import of_tree
from servable.bundles.manifest import dumps
from servable.bundles.open import open_bundle
from servable.domain.bundle import MANIFEST
from servable.domain.ref import Ref
from servable.domain.terms import Terms
from servable.registry.registry import Registry
from servable.release.acts import Acts

NEVER = Terms(promote=False)
"""The canary stays one for as long as it is measured."""


def routing(bench: Bench) -> list[Figure]:
    """The three versions are the same model, so that only the way to it differs."""
    return [_ratio(bench, trees_case(), "trees"), _ratio(bench, dense_case(), "a 1-MFLOP network")]


def _ratio(bench: Bench, case: Case, name: str) -> Figure:
    with served(case, _tried) as released, served(case) as plain:
        ways = [server.traffic(case) for server in (released, plain)]
        bench.warm(*ways)
        pairs = bench.turns(*(lambda way=way: bench.load(way) for way in ways))
    absolute = f"{thousands(rate_of([a for a, _ in pairs]))} to {thousands(rate_of([b for _, b in pairs]))}"
    return Figure(
        f"requests/s with a canary and a shadow against a plain Route, {name}",
        tuple(a.rate / b.rate for a, b in pairs),
        at_least=0.90,
        absolute=absolute,
    )


def _tried(acts: Acts) -> None:
    acts.canary(Ref("model", "2"), 0.05, NEVER)
    acts.shadow(Ref("model", "3"))


@contextlib.contextmanager
def served(case: Case, release: Callable[[Acts], None] = lambda _: None) -> Iterator[ours.Ours]:
    """Three versions in a registry, the first of them live, and what is released beside it."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        acts = Acts(Registry(folder / "home"))
        for version in ("1", "2", "3"):
            acts.registry.register(_bundle(case.model, folder / version, version))
        acts.registry.promote(Ref("model", "1"))
        release(acts)
        port, grpc_port = free_port(), free_port()
        command = [
            ours.SERVABLE, "serve", "model", "--home", str(folder / "home"), "--http-port", str(port),
            "--grpc-port", str(grpc_port), "--workers", "1",
        ]  # fmt: skip
        with started(command, {}, folder / "log", folder) as process:
            start_s = first_answer_s(process, traffic(case, ours.JSON_DIALECT, port, "model", {}))
            yield ours.Ours(process, port, grpc_port, "model", {}, start_s)


def _bundle(model: Path, folder: Path, version: str) -> Path:
    """The model as a bundle of its own."""
    folder.mkdir()
    (folder / model.name).write_bytes(model.read_bytes())
    bare = open_bundle(folder / model.name, name="model")
    manifest = msgspec.structs.replace(bare.manifest, files=of_tree(folder), lineage={"copy": version})
    (folder / MANIFEST).write_bytes(dumps(manifest))
    return folder
