"""The table of commands. A command is a file of this folder with a function of its name, or an `app` of others.

A file is imported when its command is called, or when `--help` asks what it does: no command pays for another.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from servable.version import __version__

COMMANDS: Final = (
    "demo",
    "serve",
    "pack",
    "models",
    "release",
    "predict",
    "feedback",
    "monitor",
    "batch",
    "table",
    "schedule",
    "stream",
    "learning",
    "check",
    "probe",
    "rules",
    "export",
    "publish",
    "keys",
    "doctor",
)
"""In the order that `--help` tells them."""


class Commands(TyperGroup):
    """The group that finds its commands in this folder."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - what typer calls it with
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"servable.cli.{cmd_name}")
        if hasattr(module, "app"):
            command: Any = typer.main.get_group(module.app)
        else:
            alone = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
            alone.command(cmd_name)(getattr(module, cmd_name))
            command = typer.main.get_command(alone)
        command.name = cmd_name
        return command


app: Final = typer.Typer(
    name="servable",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback()
def servable(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    """Pack a trained model once; serve it as a service, offline, online-learning or at the edge."""
    if version:
        print(__version__)
        raise typer.Exit
