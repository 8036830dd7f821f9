"""What `check` and `probe` share: the version under test, the rows it is asked, and progress while it answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from servable.cli.options import registry_at
from servable.cli.terminal import working
from servable.errors import UsageError

if TYPE_CHECKING:
    from servable.checks.case import Case
    from servable.checks.examples import Examples
    from servable.checks.subject import Subject
    from servable.domain.verdict import Verdict
    from servable.engine.plan import Target
    from servable.settings import Settings

Data = Annotated[Path | None, typer.Option(help="Rows: csv, parquet, arrow, json, jsonl.", metavar="FILE")]
Label = Annotated[
    str | None, typer.Option(help="The column of true outcomes.", show_default="as packed", metavar="COLUMN")
]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn: the same seed gives the same verdicts.")]
Record = Annotated[bool, typer.Option("--record/--no-record", help="Whether the registry keeps the verdicts.")]


class Place:
    """The home, what is registered there, and who asks."""

    def __init__(self, home: str | None) -> None:
        from servable.settings import load_settings

        self.settings: Settings = load_settings({"home": home})
        self.home = home

    @property
    def who(self) -> str:
        """The user, as the registry writes it."""
        return registry_at(self.home).who

    def target(self, ref: str) -> Target:
        """The live version of a name, the version of a Ref, or what lies at a path."""
        from servable.server.targets import resolve

        plan = resolve(self.settings, [ref])
        live = {name: route.live for name, route in plan.routes.items()}
        return next(target for target in plan.targets if target.version == live[target.name])

    def load(self, stack: ExitStack, target: Target) -> Subject:
        """The target, until the stack is left. Raises what loading raises."""
        from servable.checks.subject import subject

        with working(f"loading {titled(target)}"):
            loaded = stack.enter_context(subject(target, self.settings.home_path / "environments"))
        loaded.ref = titled(target)
        others: dict[str, Subject] = {}

        def find(ref: str) -> Subject:
            if ref not in others:
                others[ref] = self.load(stack, self.target(ref))
            return others[ref]

        if target.digest is not None:
            loaded.find = find
        return loaded

    def record(self, target: Target, verdicts: Sequence[Verdict], **source: str) -> None:
        """Keep the verdicts beside the version, if it is a registered one."""
        from servable.domain.ref import Ref

        if target.digest is not None:
            registry_at(self.home).record_verdicts(Ref(target.name, target.version), verdicts, **source)

    def tell_suite(self, target: Target, cases: Sequence[Case]) -> None:
        """Tell the registry how many cases a registered name must pass: its champions must have met them."""
        if target.digest is not None:
            registry_at(self.home).note(target.name, "suite", {"cases": sum(case.must_pass for case in cases)})


def titled(target: Target) -> str:
    """What it is called: a registered version by its Ref, what lies at a path by that."""
    return f"{target.name}:{target.version}" if target.digest is not None else target.source


def read_data(model: Subject, data: Path | None, label: str | None, *, served: bool = False) -> Examples | None:
    """The rows that were given, with the label that was named, or else packed; by the contract of what is `served`, or
    of the model itself.
    """
    if data is None:
        if label is not None:
            raise UsageError("--label names a column of the rows: give them with --data FILE")
        return None
    from servable.checks import gate
    from servable.checks.examples import examples_of, read_table

    signature = model.signature if served else model.bundle.signature
    with working(f"reading {data.name}"):
        table = read_table(data, signature)
        packed = gate.label_of(model.bundle)
        chosen = label or (packed if packed is not None and packed in table.columns else None)
        return examples_of(table, signature, chosen, data.name)


def told(
    verdicts: Iterator[Verdict], model: Subject, champion: Subject | None, examples: Examples | None, passes: int
) -> list[Verdict]:
    """All of them, with progress on a terminal."""
    if not sys.stderr.isatty():
        return list(verdicts)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:40.40}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("asking the model", total=None if examples is None else passes * len(examples))
        for each in (model, champion):
            if each is not None:
                each.tell = lambda rows: progress.advance(task, rows)
        found = []
        for verdict in verdicts:
            found.append(verdict)
            progress.update(task, description=verdict.check)
        return found
