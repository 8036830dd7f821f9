"""`servable check`: the gate. Every check of a version as a table of verdicts, written down where it is registered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json, show_table
from servable.cli.under_test import Data, Label, Place, Record, Seed, read_data, told
from servable.cli.verdicts import Html, Junit, Report
from servable.errors import BundleError, unreadable

if TYPE_CHECKING:
    from servable.checks.case import Case
    from servable.checks.subject import Subject
    from servable.checks.suite import Suite
    from servable.domain.verdict import Verdict
    from servable.engine.plan import Target


def check(
    ref: Annotated[str, typer.Argument(metavar="REF|PATH", help="A registered model, a bundle or a model file.")],
    data: Data = None,
    label: Label = None,
    against: Annotated[
        str | None, typer.Option(help="A champion that it must not be worse than.", metavar="REF|PATH")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="By how much it may be.", show_default="0.01")] = None,
    check: Annotated[
        list[str] | None, typer.Option(help='A demand beside those of the manifest: "auc>=0.9 by region".')
    ] = None,
    checks: Annotated[Path | None, typer.Option(help="A file of demands, one a line.", metavar="FILE")] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="Hold metrics against their limits in each slice too.", metavar="COLUMN")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Rows of one value of it belong together: customers, days.", metavar="COLUMN")
    ] = None,
    seed: Seed = 0,
    add_case: Annotated[
        Path | None,
        typer.Option(help="Add cases, or recorded predictions, to the suite first.", metavar="FILE"),
    ] = None,
    remove_case: Annotated[str | None, typer.Option(help="Take one out of the suite first.", metavar="ID")] = None,
    cases: Annotated[bool, typer.Option("--cases", help="List the regression suite, and end.")] = False,
    record: Record = True,
    html: Html = None,
    junit: Junit = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Hold a version against everything that is demanded of it. Ends with 1 if a check fails.

    Example:  servable check churn:3 --data test.csv --label left --against churn@champion
    """
    from servable.checks.suite import Suite

    place = Place(home)
    target = place.target(ref)
    suite = Suite(place.settings.home_path, target.name, place.who)
    if remove_case is not None:
        suite.remove(remove_case)
    if add_case is not None:
        _add(suite, add_case, target)
    if remove_case is not None or add_case is not None:
        place.tell_suite(target, suite.cases())
    if cases:
        _list(suite.cases(), as_json=as_json)
        return
    started = time.perf_counter()
    texts = [*_demands(checks), *(check or ())]
    with ExitStack() as stack:
        from servable.checks import gate
        from servable.checks.question import Question

        verdicts: list[Verdict] = []
        model = _loaded(stack, place, target, verdicts)
        if model is not None:
            examples = read_data(model, data, label, served=True)
            champion = _champion(stack, place, target, against)
            asked = Question(
                gate.demands_of(model.bundle, texts), examples, suite.cases(), tuple(by or ()), margin, seed, cluster
            )
            verdicts += told(gate.answer(asked, model, champion), model, champion, examples, 2 if champion else 1)
    report = Report(target, verdicts, time.perf_counter() - started, data, seed)
    if record:
        place.record(target, verdicts)
    report.write(html, junit)
    report.show(as_json=as_json)


def _loaded(stack: ExitStack, place: Place, target: Target, verdicts: list[Verdict]) -> Subject | None:
    """The version under test; where it cannot be trusted or loaded, that is the verdict."""
    from servable.checks.gate import GOLDEN
    from servable.domain.verdict import Verdict

    try:
        return place.load(stack, target)
    except BundleError as error:
        verdicts.append(Verdict(GOLDEN, passed=False, reason=error.message))
        return None


def _champion(stack: ExitStack, place: Place, target: Target, against: str | None) -> Subject | None:
    if against is None:
        return None
    champion = place.target(against)
    if champion.digest is not None and (champion.name, champion.version) == (target.name, target.version):
        say(f"{against} is the version under test itself: it is compared with nobody")
        return None
    return place.load(stack, champion)


def _demands(path: Path | None) -> list[str]:
    """The lines of a file; what follows a `#` is a remark."""
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise unreadable(path, error) from error
    return [text for line in lines if (text := line.partition("#")[0].strip())]


def _add(suite: Suite, path: Path, target: Target) -> None:
    from servable.bundles.open import open_bundle
    from servable.checks.case import read_cases
    from servable.checks.production import with_records

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(path, error) from error
    if '"inputs"' in text:
        text = with_records(text, open_bundle(Path(target.source), name=target.name).signature)
    fresh = suite.add(read_cases(text, path.name))
    say(f"{len(fresh)} cases added to the regression suite of {suite.path.stem}, which has {len(suite.cases())}")


def _list(cases: Sequence[Case], *, as_json: bool) -> None:
    rows = [
        {
            "id": case.id, "must pass": case.must_pass, "expected": case.expected(), "source": case.source,
            "note": case.note, "row": case.row,
        }
        for case in cases
    ]  # fmt: skip
    if as_json:
        show_json(rows)
    elif rows:
        show_table(rows)
    else:
        say("The suite is empty. Add a case:  servable check REF --add-case FILE")
