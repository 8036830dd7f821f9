"""`servable export`: a model for devices, proven to answer as the server does."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json, working


class Target(StrEnum):
    """Where the model goes."""

    browser = "browser"


def export(
    ref: Annotated[str, typer.Argument(metavar="REF|PATH", help="A registered model, or a bundle.")],
    output: Annotated[Path, typer.Option(help="The folder to make; new or empty.", metavar="DIR")],
    target: Annotated[Target, typer.Option(help="Where it goes.")] = Target.browser,
    inline: Annotated[bool, typer.Option("--inline", help="One page that holds everything.")] = False,
    webgpu: Annotated[bool, typer.Option("--webgpu", help="With the runtime for graphics cards: 27 MB more.")] = False,
    no_proof: Annotated[
        bool, typer.Option("--no-proof", help="Do not ask it in a browser and in Node; the export says so.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take a model to the client's device: a folder that is a web page, an npm package and a program for Node.

    It is asked golden rows, edge cases and broken rows in Chromium and in Node, and has to answer as the server does.

    Example:  servable export churn@champion --target browser --output churn-web
    """
    import msgspec

    import servable
    from servable.edge.export import to_browser
    from servable.errors import UsageError
    from servable.server.targets import resolve
    from servable.settings import load_settings

    if inline and webgpu:
        raise UsageError("--inline holds one runtime, without --webgpu: leave one of them out")
    plan = resolve(load_settings({"home": home}), [ref])
    found = next(target for target in plan.targets if target.version == plan.routes[target.name].live)
    with working(f"exporting {ref} for a {target.value}"), servable.load(ref, home=home) as predictor:
        made = to_browser(predictor, found.version, output, proof=not no_proof, alone=inline, webgpu=webgpu)
    if as_json:
        show_json({"output": str(output), "proven": made.proven, **msgspec.to_builtins(made)})
        return
    print(output)
    for device in made.devices:
        say(f"  {device}")
    if not made.devices:
        say("  not proven: nobody asked it (--no-proof)")
    say("  " + ", ".join(f"{name} {size:,} bytes" for name, size in made.bytes.items()))
