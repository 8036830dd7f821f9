"""Options that every command takes, and the registry that they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from servable.registry.registry import Registry

Home = Annotated[str | None, typer.Option(help="Where state lies.", show_default="~/.servable", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def registry_at(home: str | None) -> Registry:
    """The registry of the home that the option, the environment or the default names."""
    from servable.registry.registry import Registry
    from servable.settings import load_settings

    return Registry.of(load_settings({"home": home}))
