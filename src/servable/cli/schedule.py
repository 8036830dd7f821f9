"""`servable schedule`: bulk jobs at their times."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json, show_table
from servable.errors import UsageError

if TYPE_CHECKING:
    from servable.offline.schedule.history import Happened


def schedule(
    file: Annotated[Path | None, typer.Argument(help="TOML: a table for each schedule.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Run what is due now, and end.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Tell what was run, and what became of it.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run bulk jobs at their times: cron expressions or intervals. Of several runners, on machines that share a
    registry, one takes each run; if it dies, another ends it.

    Example:  servable schedule nightly.toml
    """
    from servable.offline.schedule.history import History
    from servable.offline.schedule.plan import load_schedules
    from servable.offline.schedule.runner import Runner
    from servable.settings import load_settings

    settings = load_settings({"home": home})
    who = f"{socket.gethostname()}/{os.getpid()}"
    kept = History(settings.registry_url, settings.home_path, who, time.time)
    if history:
        rows = [_told(one) for one in kept.all()]
        if as_json:
            show_json(rows)
        elif rows:
            show_table(rows)
        else:
            say("Nothing was run yet.")
        return
    if file is None:
        raise UsageError("give the file of schedules, or --history")
    schedules = load_schedules(file)
    for name, planned in schedules.items():
        _try_words(f"{file}: schedule [{name}]", planned.batch)
    runner = Runner(schedules, kept, str(settings.home_path), time.time)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    for one in runner.look(over) if once else runner.watch(over):
        told = _told(one)
        if as_json:
            show_json(told)
        else:
            print(f"{told['name']}: {told['what']}: {told['told']}", flush=True)


def _try_words(where: str, words: tuple[str, ...]) -> None:
    """Raises UsageError for words that `servable batch` does not know: now, not when the night's job is due."""
    from servable.cli.commands import app

    command = cast("Any", typer.main.get_command(app)).get_command(None, "batch")
    try:
        command.make_context("batch", list(words))
    except typer.TyperException as error:
        raise UsageError(f"{where}: batch: {error.format_message()} See  servable batch --help") from error


def _told(one: Happened) -> dict[str, Any]:
    times = {"time": one.time, "due": one.due}
    return {
        "name": one.name,
        **{name: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") for name, at in times.items()},
        "what": one.what,
        "told": one.told,
    }
