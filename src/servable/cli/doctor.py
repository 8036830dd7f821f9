"""`servable doctor`: what is installed, what is missing, what would fail; and what to do about each."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json, working

MARKS: Final = {"ok": "✓", "note": "•", "broken": "✗"}
COLOURS: Final = {"ok": "green", "note": "yellow", "broken": "red"}


def doctor(
    home: Home = None,
    config: Annotated[str | None, typer.Option(help="A TOML file of settings.", metavar="FILE")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what is installed, what is missing and what would fail. Ends with 3 if something required is broken.

    Example:  servable doctor
    """
    import msgspec

    from servable.cli.examine import everything
    from servable.settings import load_settings

    settings = load_settings({"home": home, "config": config})
    with working("examining"):
        findings = everything(settings)
    broken = [finding for finding in findings if finding.level == "broken"]
    if as_json:
        show_json({"healthy": not broken, "findings": msgspec.to_builtins(findings)})
    else:
        width = max(len(finding.what) for finding in findings)
        area = ""
        for finding in findings:
            if finding.area != area:
                area = finding.area
                print(area)
            mark = MARKS[finding.level]
            if sys.stdout.isatty():
                mark = typer.style(mark, fg=COLOURS[finding.level])
            print(f"  {mark} {finding.what:<{width}}  {finding.said}")
            if finding.fix:
                print(f"    {'':<{width}}  → {finding.fix}")
        say(f"{len(broken)} broken" if broken else "All that is required is well.")
    if broken:
        raise typer.Exit(3)
