"""`servable publish`: bring an export to the devices that have an older one, or withdraw what they have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json


def publish(
    to: Annotated[Path, typer.Option(help="The folder of updates, which a server of files shows.", metavar="DIR")],
    sign: Annotated[Path, typer.Option(help="The private key, Ed25519 as PEM, that exports trust.", metavar="FILE")],
    export: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="What `servable export` made; none: it stays as it is.")
    ] = None,
    withdraw: Annotated[
        list[str] | None, typer.Option(help="Stop a version on every device.", metavar="VERSION=REASON")
    ] = None,
    restore: Annotated[list[str] | None, typer.Option(help="Let it be used again.", metavar="VERSION")] = None,
    unproven: Annotated[bool, typer.Option("--unproven", help="Also what was exported with --no-proof.")] = False,
    keep: Annotated[int, typer.Option(min=1, help="Editions that stay there, the newest among them.", metavar="N")] = 3,
    home: Home = None,  # noqa: ARG001 - as every command; nothing of it is needed here
    as_json: AsJson = False,
) -> None:
    """Make an export the newest edition for devices, or withdraw a version from them: one signed manifest.

    Example:  servable publish churn-web --to updates --sign release.pem --withdraw 3="wrong for new customers"
    """
    from servable.edge.publish import publish as published
    from servable.edge.retention import prune
    from servable.errors import UsageError

    reasons: dict[str, str] = {}
    for word in withdraw or ():
        version, separator, reason = word.partition("=")
        if not (version and separator and reason):
            raise UsageError(f"{word!r} withdraws nothing: expected VERSION=REASON, which users will read")
        reasons[version] = reason
    made = published(to, sign, export, withdrawn=reasons, restored=restore or (), unproven=unproven)
    files, size = prune(to, keep)
    if as_json:
        show_json({"output": str(to), "name": made.name, "version": made.version, "sequence": made.sequence,
                   "disabled": made.disabled, "removed": {"files": files, "bytes": size}})  # fmt: skip
        return
    print(f"{made.name}:{made.version} → {to}")
    for version, reason in made.disabled.items():
        say(f"  withdrawn: version {version} ({reason})")
    if files:
        say(f"  removed {files} files of editions that no device asks for any more: {size:,} bytes")
