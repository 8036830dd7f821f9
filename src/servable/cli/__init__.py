"""The command line. One file a command; this one gathers them and turns errors into one clear line and an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from servable import __version__

from servable.cli import keys, serve
from servable.errors import ServableError

app = typer.Typer(
    name="servable",
    help="Pack a trained model once; serve it as a service, offline, online-learning or at the edge.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")


@app.callback()
def version_of(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Pack a trained model once; serve it as a service, offline, online-learning or at the edge."""
    if version:
        print(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. A failure prints what, where and what to do, and ends with 1, 2 (usage) or 3 (environment)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(words, standalone_mode=True)
    except ServableError as error:
        if "--json" in words:
            print(json.dumps(error.body(), default=str))
        else:
            print(f"servable: {error.message}", file=sys.stderr)
            for fault in error.detail.get("faults", ()):
                print(f"  - {fault}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
