"""The table: Figures and the machine as Markdown, for people."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.figure import Figure
from benchmarks.machine import describe
from benchmarks.results import Measured

LONGEST = 300
OURS = ("servable", "onnxruntime", "numpy", "uvicorn", "uvloop", "httptools", "hpack", "protobuf")

HEADING = """\
# Benchmarks

Made by `make bench`; [benchmarks/README.md](../benchmarks/README.md) says how each figure is measured.
One core for the server, the other for the load generator; 64 connections; JSON bodies of the Open Inference Protocol V2
(a peer without it is asked in its own JSON); gradient boosting on 30 features, as ONNX, unless a line says otherwise.
Each figure is the median of some runs, taken in turns; *spread* is the least and the most seen. *When* says on
which day, how many runs of how long, and which share of the cores others used just before. Ratios hold from
machine to machine; rates do not.

"""


def machine() -> dict[str, Any]:
    """What the figures were taken with."""
    return {"machine": describe(), "versions": {name: version(name) for name in OURS}}


def markdown(measured: Sequence[Measured], known: dict[str, Any]) -> str:
    """The page."""
    lines = [
        HEADING,
        "| figure | goal | seen | spread | what was measured | holds | when |\n|---|---|---|---|---|---|---|\n",
    ]
    lines += [_line(each) for each in measured]
    lines.append(_peers([each.figure for each in measured]))
    lines.append("\n## Machine and versions\n\n")
    lines.append(", ".join(f"{key}: {value}" for key, value in known["machine"].items()) + ".\n\n")
    told = ", ".join(f"{name} {number}" for name, number in known["versions"].items())
    lines.append(f"Ours, in the last run: {told}.\n")
    return "".join(lines)


def _line(measured: Measured) -> str:
    figure = measured.figure
    holds = {True: "yes", False: "**no**", None: ""}[figure.passed]
    if figure.missing:
        return f"| {figure.name} | {figure.goal()} | not measured | | {brief(figure.missing)} | {holds} | |\n"
    limited = " (the generator was the limit)" if figure.detail.get("generator_limited") else ""
    seen = (figure.show(figure.seen), figure.spread(), figure.absolute + limited)
    cells = (figure.name, figure.goal(), *seen, holds, measured.terms())
    return f"| {' | '.join(cells)} |\n"


def _peers(figures: Sequence[Figure]) -> str:
    """How the peers were set up, and what they did by themselves."""
    rows = [_peer(figure.detail) for figure in figures if "peer" in figure.detail]
    if not rows:
        return ""
    head = "| peer | versions | set up as | requests/s | p50 ms | p99 ms | first answer s | memory MiB |\n"
    note = "\nMemory is the PSS of all of the peer's processes after the load.\n"
    return f"\n## The peers\n\n{head}|---|---|---|---|---|---|---|---|\n{''.join(rows)}{note}"


def _peer(seen: dict[str, Any]) -> str:
    numbers = (f"{seen['rate']:,.0f}", *(f"{seen[key]:.1f}" for key in ("p50_ms", "p99_ms", "start_s")))
    versions = ", ".join(f"{name} {number}" for name, number in seen["versions"].items())
    return f"| {' | '.join((seen['peer'], versions, seen['settings'], *numbers, str(round(seen['pss_mib']))))} |\n"


def brief(reason: str) -> str:
    """A reason on one line, of a length for a cell: its beginning and its end say most."""
    words = " ".join(reason.split()).replace("|", "/")
    return words if len(words) <= LONGEST else f"{words[: LONGEST // 3]} … {words[-LONGEST * 2 // 3 :]}"
