"""`python -m benchmarks.run`: measure every figure and write docs/benchmarks.md and benchmarks/results.json.

A run of chosen figures (`--only`) shows them and writes nothing, unless it is told to `--renew` their lines.
"""

from __future__ import annotations

import argparse
import compileall
import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import servable
from benchmarks import report, results
from benchmarks.bench import Bench
from benchmarks.figure import Figure
from benchmarks.figures import all_on, binary, edge, formats, gate, grpc, latency, limits, peers, routing, rules, start
from benchmarks.machine import LOAD_CORE, SERVER_CORE, busy_share
from benchmarks.results import Measured

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "benchmarks.md"
RESULTS: Final = ROOT / "benchmarks" / "results.json"


def _later(name: str, bench: Bench) -> list[Figure]:
    """Those whose libraries are heavy: imported when they are measured."""
    measured: list[Figure] = getattr(import_module(f"benchmarks.figures.{name}"), name)(bench)
    return measured


FIGURES: Final[Mapping[str, Callable[[Bench], list[Figure]]]] = {
    **{peer.id: functools.partial(peers.against, peer=peer) for peer in peers.PEERS},
    "door": limits.door,
    "dense": limits.dense,
    "mobile": limits.mobile,
    "latency": latency.latency,
    "start": start.start,
    "all-on": all_on.all_on,
    "binary": binary.binary,
    "grpc-mlserver": grpc.grpc_peer,
    "grpc-echo": grpc.grpc_echo,
    "pickled": formats.pickled,
    "pmml": formats.pmml,
    "gate": gate.gate,
    "rules": rules.rules,
    "routing": routing.routing,
    "edge": edge.edge,
    **{
        name: functools.partial(_later, name)
        for name in (
            "edge_models",
            "process",
            "texts",
            "bulk",
            "lookups",
            "bulk_peers",
            "registry",
            "online",
            "bandits",
            "fleet",
        )
    },
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every goal that was measured holds, 1 if one does not, 3 without two cores."""
    options = _options(arguments)
    if len(os.sched_getaffinity(0) & {SERVER_CORE, LOAD_CORE}) < 2:
        print(f"cores {SERVER_CORE} and {LOAD_CORE} are needed: one for the server, one for the load", file=sys.stderr)
        return 3
    compileall.compile_dir(Path(servable.__file__).parent, quiet=1)  # as pip has done with the peers
    measured = _measure(options.only or list(FIGURES), options.repeats, options.seconds)
    figures = [each.figure for each in measured]
    machine = report.machine()
    if options.json:
        print(results.as_json(measured, machine), end="")
    else:
        _show(figures)
    if options.renew or not options.only:
        whole = results.renewed(results.read(RESULTS), measured, list(FIGURES))
        PAGE.write_text(report.markdown(whole, machine), encoding="utf-8")
        RESULTS.write_text(results.as_json(whole, machine), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}", file=sys.stderr)
    return 0 if all(figure.passed is not False for figure in figures) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    names = ", ".join(FIGURES)
    parser.add_argument("--only", action="append", choices=list(FIGURES), metavar="NAME", help=f"one of {names}")
    parser.add_argument("--renew", action="store_true", help="with --only: put these in the place of their older lines")
    parser.add_argument("--repeats", type=int, default=5, help="samples of each figure (default 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of each sample (default 4)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(arguments)


def _measure(names: Sequence[str], repeats: int, seconds: float) -> list[Measured]:
    """All figures, in order. One that breaks is a line that says why, and the rest go on."""
    measured: list[Measured] = []
    columns = (TextColumn("{task.description:48.48}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(names))
        for name in names:
            progress.update(task, description=name)

            def tell(what: str, name: str = name) -> None:
                progress.update(task, description=f"{name}: {what}")

            made, busy = datetime.now(UTC).isoformat(timespec="seconds"), busy_share()
            try:
                figures = FIGURES[name](Bench(repeats, seconds, tell))
            except Exception as error:  # noqa: BLE001 - the wall: the table must come out, whatever one figure does
                figures = [Figure(name, missing=f"{type(error).__name__}: {error}", broken=True)]
            measured += [Measured(name, figure, made, repeats, seconds, busy) for figure in figures]
            progress.advance(task)
    return measured


def _show(figures: Sequence[Figure]) -> None:
    table = Table("figure", "goal", "seen", "spread", "measured", "holds")
    for figure in figures:
        if figure.missing:
            table.add_row(
                figure.name, figure.goal(), "-", "", report.brief(figure.missing), "[red]no[/]" if figure.broken else ""
            )
            continue
        holds = {True: "yes", False: "[red]no[/]", None: ""}[figure.passed]
        table.add_row(figure.name, figure.goal(), figure.show(figure.seen), figure.spread(), figure.absolute, holds)
    Console(width=None if sys.stdout.isatty() else 180).print(table)


if __name__ == "__main__":
    sys.exit(main())
