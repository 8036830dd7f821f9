"""`servable export`: a model for devices, fitted to limits, proven to answer as the server does."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json, show_table, working
from servable.cli.under_test import Data, Label, Place, titled
from servable.edge.targets import PLACES

if TYPE_CHECKING:
    from servable.edge.report import Report


_WHERE: Final = f"Where it goes. {'; '.join(f'{name}: {place.makes}' for name, place in PLACES.items())}."


def export(
    ref: Annotated[str, typer.Argument(metavar="REF|PATH", help="A registered model, or a bundle.")],
    output: Annotated[Path, typer.Option(help="The folder to make; new or empty.", metavar="DIR")],
    target: Annotated[str, typer.Option(help=_WHERE, autocompletion=lambda: [*PLACES], metavar="NAME")] = "browser",
    fit: Annotated[bool, typer.Option("--fit", help="Make smaller and quicker variants, and show them.")] = False,
    variant: Annotated[str | None, typer.Option(help="Take this one, whatever it loses.", metavar="NAME")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Of the model's file.", metavar="N")] = None,
    max_latency: Annotated[float | None, typer.Option(help="Of an answer on the device.", metavar="MS")] = None,
    max_loss: Annotated[float | None, typer.Option(help="Of 1; a variant that loses needs it.", metavar="L")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="An output to keep, of all; may be repeated.")] = None,
    data: Data = None,
    label: Label = None,
    inline: Annotated[bool, typer.Option("--inline", help="One page that holds everything.")] = False,
    webgpu: Annotated[bool, typer.Option("--webgpu", help="With the runtime for graphics cards: 27 MB more.")] = False,
    no_proof: Annotated[
        bool, typer.Option("--no-proof", help="Do not ask it where it will run; the export says so.")
    ] = False,
    updates: Annotated[str, typer.Option(help="Where it looks for newer editions.", metavar="URL")] = "",
    trust: Annotated[list[str] | None, typer.Option(help="Whose updates it takes: public keys.", metavar="KEY")] = None,
    grace_days: Annotated[float | None, typer.Option(help="It stops after so long without news.", metavar="N")] = None,
    server: Annotated[str, typer.Option(help="Who answers where the device cannot.", metavar="URL")] = "",
    slowest: Annotated[float | None, typer.Option(help="Where it takes longer, too.", metavar="MS")] = None,
    records: Annotated[
        float | None, typer.Option(help="Of its answers, those that are sent there.", metavar="SHARE")
    ] = None,
    record_column: Annotated[
        list[str] | None, typer.Option(help="An input that may go with them.", metavar="NAME")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take a model to a device: a page, an npm package, a program of one file, sources for phones, a header in C.

    It is asked golden rows, edge cases and broken rows there (a real browser, Node, a bare Python), and has to answer
    as the server does.

    Example:  servable export churn@champion --target browser --output churn-web --max-bytes 50000 --max-loss 0.01
    """
    import servable
    from servable.cli.export_fit import asked
    from servable.edge.export import export as exported
    from servable.edge.handed import door
    from servable.edge.life import life_of
    from servable.edge.policy import Limits
    from servable.errors import UsageError

    if max_latency is not None and no_proof:
        raise UsageError("--max-latency is measured on the device, which --no-proof leaves out: drop one of them")
    if inline and target not in {"browser", "inline"}:
        raise UsageError(f"--inline makes a page: it is for --target browser, not for {target}")
    life = life_of(updates, trust or (), grace_days, server=server, slowest_ms=slowest, share=records,
                   columns=record_column or ())  # fmt: skip
    limits = Limits(max_bytes, max_latency, max_loss, variant)
    place = Place(home)
    found = place.target(ref)
    with ExitStack() as stack:
        predictor = stack.enter_context(servable.load(ref, home=home))
        fitting = asked(place, found, predictor, limits, data, label) if fit or limits != Limits() else None
        stack.enter_context(working(f"exporting {titled(found)} to {target}"))
        made = exported(
            predictor, found.version, output, target="inline" if inline else target, proof=not no_proof,
            options=frozenset({"webgpu"} if webgpu else ()), outputs=keep or (), fit=fitting, life=life,
            door=None if Path(ref).exists() else partial(door, place.settings.home_path, found.name, found.version),
        )  # fmt: skip
    show(made, output, as_json=as_json)


def show(made: Report, output: Path, *, as_json: bool) -> None:
    """What was made, for programs or for people."""
    import msgspec

    from servable.edge.report import line

    if as_json:
        show_json({"output": str(output), "proven": made.proven, **msgspec.to_builtins(made)})
        return
    print(output)
    if made.table:
        show_table([line(each) for each in made.table])
        chosen = next(each for each in made.table if not each.reason)
        loses = f"loses {chosen.loss:.2g}" if chosen.lossy else "loses nothing"
        say(f"  {made.variant}: {loses}; a device may differ by {made.absolute:.2g} + {made.relative:g} · |value|")
    for device in made.devices:
        say(f"  {device}")
    if not made.devices:
        say("  not proven: nobody asked it (--no-proof)")
    for note in made.notes:
        say(f"  {note}")
    say("  " + ", ".join(f"{name} {size:,} bytes" for name, size in made.bytes.items()))
