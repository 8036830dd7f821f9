"""Verdicts as a command gives them: a table for people, JSON for programs, a page and JUnit XML as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servable.cli.terminal import show_json, show_table
from servable.cli.under_test import titled
from servable.errors import EnvironmentFault

if TYPE_CHECKING:
    from servable.domain.verdict import Verdict
    from servable.engine.plan import Target

Html = Annotated[Path | None, typer.Option(help="Write a page with plots, that stands alone.", metavar="FILE")]
Junit = Annotated[Path | None, typer.Option(help="Write JUnit XML, for other people's CI.", metavar="FILE")]


class Report:
    """Verdicts as people, programs and CI take them."""

    def __init__(
        self, target: Target, verdicts: Sequence[Verdict], seconds: float, data: Path | None, seed: int
    ) -> None:
        self.title = titled(target)
        self.verdicts = verdicts
        self.seconds = seconds
        self.facts = {"data": data, "seed": seed, "digest": (target.digest or "")[:12]}

    @property
    def passed(self) -> bool:
        return all(verdict.passed for verdict in self.verdicts)

    def write(self, html: Path | None, junit: Path | None) -> None:
        """The files that were asked for. Raises EnvironmentFault."""
        from servable.checks.junit import junit as junit_of
        from servable.checks.page import page

        try:
            if html is not None:
                html.write_text(page(self.title, self.verdicts, self.facts), encoding="utf-8")
            if junit is not None:
                junit.write_bytes(junit_of(self.title, self.verdicts, self.seconds))
        except OSError as error:
            raise EnvironmentFault(f"cannot write {error.filename}: {error.strerror}") from error

    def show(self, *, as_json: bool, **more: Any) -> None:
        """On the terminal. Ends the command with 1 if a check failed."""
        import msgspec

        if as_json:
            body = {"model": self.title, "passed": self.passed, "seconds": round(self.seconds, 3), **self.facts}
            show_json(body | {"verdicts": msgspec.to_builtins(self.verdicts), **more})
        else:
            show_table(
                [
                    {"": "passed" if each.passed else "FAILED", "check": each.check, "what was seen": each.reason}
                    for each in self.verdicts
                ]
            )
        if not self.passed:
            raise typer.Exit(1)
