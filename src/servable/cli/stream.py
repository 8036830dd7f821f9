"""`servable stream`: a model as a step in somebody's stream."""

from __future__ import annotations

import os
import signal
import threading
from io import FileIO
from typing import Annotated, Final

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json

ENOUGH: Final = 1000
"""Messages after which a column that none of them had is told of; of fewer at the end."""


def stream(
    ref: Annotated[str, typer.Argument(metavar="REF|PATH", help="A registered model, a bundle or a model file.")],
    on: Annotated[str, typer.Option(help="redis://, nats:// or kafka://.", show_default="standard input")] = "",
    source: Annotated[str, typer.Option("--from", help="The stream, subject or topic of messages.")] = "",
    target: Annotated[str, typer.Option("--to", help="The one of answers.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Answer messages as they come, in micro-batches: objects of columns and values, JSON. Each that was taken is
    answered, also after a crash. Ends with its input, or when it is told to.

    Example:  servable stream churn --on redis://localhost:6379/0 --from customers --to scores
    """
    from servable.bundles.environments import ENVIRONMENTS
    from servable.cli.live import live
    from servable.offline.stream.flow import Flow, Flown
    from servable.offline.stream.lines import Lines
    from servable.offline.stream.open import open_pipe
    from servable.offline.worker import loaded
    from servable.settings import load_settings

    settings = load_settings({"home": home})
    found, _ = live(settings, ref)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a model's library may print: that is no answer
    pipe = open_pipe(on, source, target, found.name) if on else Lines(FileIO(0, closefd=False), output)
    try:
        with loaded(found, settings.home_path / ENVIRONMENTS) as (model, bundle):
            flow = Flow(found, model, bundle)
            looked = False

            def look(flown: Flown, enough: int = ENOUGH) -> None:
                nonlocal looked
                if not looked and flown.messages >= enough:
                    looked = True
                    for name in sorted(flow.lacking):
                        say(f"no message had {name!r}, which the model may do without: it is taken as missing")

            flown = flow.run(pipe, over, look)
            look(flown, 1)
    finally:
        pipe.close()
    if as_json and on:
        show_json(flown._asdict())
    else:
        say(f"{flown.messages} messages answered, {flown.errors} of them with an error")
