"""`servable probe`: data-edge tests. What is odd about a model, as simple rows, and the rules that would guard them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_table
from servable.cli.under_test import Data, Label, Place, Record, Seed, read_data
from servable.cli.verdicts import Html, Junit, Report
from servable.errors import EnvironmentFault

if TYPE_CHECKING:
    from servable.checks.examples import Examples
    from servable.checks.probe.probe import Probed
    from servable.checks.subject import Subject

SOURCE = "probe"
SHOWN = 15
"""Findings that a terminal shows; --json and --html have all."""


def probe(
    ref: Annotated[str, typer.Argument(metavar="REF|PATH", help="A registered model, a bundle or a model file.")],
    data: Data = None,
    label: Label = None,
    save: Annotated[bool, typer.Option("--save", help="Add what is found to the name's regression suite.")] = False,
    rules: Annotated[
        Path | None, typer.Option(help="Write the rules that are offered, as a manifest has them.", metavar="FILE")
    ] = None,
    seed: Seed = 0,
    record: Record = True,
    html: Html = None,
    junit: Junit = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Find where a model errs, jumps, saturates or turns to NaN, and where in the data it is weak.

    Rows are made from what the bundle knows of its training data: missing, extreme, boundary, unseen, in a wrong unit,
    swapped, duplicated, huge, and changed by a hair. With labelled rows (--data, --label) weak regions are ranked too.
    Ends with 1 if anything is found.

    Example:  servable probe churn:3 --data test.csv --label left --save
    """
    import msgspec

    place = Place(home)
    target = place.target(ref)
    started = time.perf_counter()
    with ExitStack() as stack:
        model = place.load(stack, target)
        found = _probed(model, read_data(model, data, label), seed)
    report = Report(target, found.verdicts(), time.perf_counter() - started, data, seed)
    offered = found.rules()
    if rules is not None:
        _write_rules(rules, offered)
    if save:
        from servable.checks.suite import Suite

        suite = Suite(place.settings.home_path, target.name, place.who)
        fresh = suite.add(finding.case(found.ground) for finding in found.findings)
        if fresh:
            place.tell_suite(target, suite.cases())
        say(f"{len(fresh)} cases added to the regression suite of {target.name}, which has {len(suite.cases())}")
    if record:
        place.record(target, report.verdicts, source=SOURCE)
    report.write(html, junit)
    if not as_json and found.findings:
        show_table([_line(at, found) for at in range(min(SHOWN, len(found.findings)))])
        if len(found.findings) > SHOWN:
            say(f"… and {len(found.findings) - SHOWN} more: --json or --html FILE has all")
    report.show(as_json=as_json, rules=msgspec.to_builtins(offered))


def _probed(model: Subject, examples: Examples | None, seed: int) -> Probed:
    """With a sign of life on a terminal."""
    from servable.checks.probe.probe import probe
    from servable.cli.terminal import working

    with working(f"probing {model.ref}"):
        return probe(model, examples, seed)


def _line(at: int, found: Probed) -> dict[str, Any]:
    """A finding as a line of a table: what it takes, beside the typical row."""
    finding = found.findings[at]
    unlike = finding.evidence(found.ground)["unlike_typical"]
    return {
        "what": finding.what,
        "where": " and ".join(finding.columns[:3]),
        "change": finding.told,
        "rows": f"{finding.affected} of {finding.asked}",
        "answer": f"{finding.before} → {finding.after}",
        "simplest row": ", ".join(f"{name} {value}" for name, value in list(unlike.items())[:4]) or "the typical one",
        "rule": finding.rule.name if finding.rule is not None else "",
    }


def _write_rules(path: Path, rules: list[Any]) -> None:
    """As `[[rules]]` of a manifest."""
    import msgspec
    import tomli_w

    try:
        path.write_text(tomli_w.dumps({"rules": msgspec.to_builtins(rules)}), encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"cannot write {str(path)!r}: {error.strerror}") from error
