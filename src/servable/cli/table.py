"""`servable table`: tables of answers: list, get, push, roll back, drop; and a secret for webhooks."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json, show_table

if TYPE_CHECKING:
    from servable.stores.tables.port import Tables

app = typer.Typer(help="Tables of answers, and their generations.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The table.")]
Store = Annotated[str, typer.Option("--tables", help="Where tables are.", show_default="in the home")]


@app.command("list")
def list_tables(
    name: Annotated[str | None, typer.Argument(help="One table, with all its generations.")] = None,
    tables: Store = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """The tables there are; of one, its generations.

    Example:  servable table list
    """
    with _opened(home, tables) as store:
        if name is not None:
            live = store.live(name).number
            found = [(one, one.number == live) for one in store.generations(name)]
        else:
            found = [(store.live(one), True) for one in store.names()]
    now = datetime.now(UTC).timestamp()
    rows: list[dict[str, Any]] = [
        {
            "table": one.table,
            "generation": one.number,
            "live": live,
            "model": f"{one.model}:{one.version}",
            "rows": one.rows,
            "key": one.key_name,
            "made": datetime.fromtimestamp(one.made_at, UTC).isoformat(timespec="seconds"),
            "stale": one.stale(now),
        }
        for one, live in found
    ]
    if as_json:
        show_json(rows)
    elif rows:
        show_table(rows)
    else:
        say("There are no tables. Make one:  servable batch REF --input DATA --key COLUMN --table NAME")


@app.command()
def get(
    name: Name,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="What to look up.")],
    tables: Store = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """The answers to some keys, from the live generation. Ends with 1 if one of them has none.

    Example:  servable table get churn 42 43
    """
    from servable.stores.tables.keys import encode_one
    from servable.stores.tables.layout import Layout

    with _opened(home, tables) as store:
        kind = store.live(name).key
        found = store.read(name, [encode_one(key, kind) for key in keys])
    layout = Layout(found.generation.columns)
    rows = [None if answer is None else layout.rows([answer])[0] for answer in found.answers]
    if as_json:
        show_json({"table": name, "generation": found.generation.number, "rows": rows})
    else:
        for key, row in zip(keys, rows, strict=True):
            if row is None:
                say(f"servable: table {name!r} has no row {key!r}")
            else:
                show_json({"key": key, **row})
    if None in rows:
        raise typer.Exit(1)


@app.command()
def push(
    name: Name,
    to: Annotated[
        str,
        typer.Option(help="https://…, redis://HOST#STREAM, nats://HOST#SUBJECT, kafka://HOST#TOPIC, or a folder."),
    ],
    every: Annotated[bool, typer.Option("--all", help="All rows, not only those that changed.")] = False,
    dead: Annotated[bool, typer.Option("--dead", help="Then offer again what the consumer refused before.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and push each generation that follows.")] = False,
    tables: Store = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bring what changed since the last push to a consumer: at least once, in order for each key.

    The secret that webhooks are signed with is taken from the environment, SERVABLE_WEBHOOK_SECRET.

    Example:  servable table push churn --to https://crm.example.com/scores
    """
    from servable.offline.push.watch import How, deliver
    from servable.settings import load_settings

    with _opened(home, tables) as store:
        place = load_settings({"home": home}).home_path
        for told in deliver(store, place, name, to, How(every, dead, watch, _wait)):
            if as_json:
                show_json(told._asdict())
            else:
                refused = f", {told.refused} refused" if told.refused else ""
                print(
                    f"{name}: {told.messages} messages of generation {told.generation} delivered{refused}", flush=True
                )


@app.command()
def secret(home: Home = None, as_json: AsJson = False) -> None:  # noqa: ARG001 - every command takes them
    """Make a secret for webhooks, to share with a consumer. It is kept nowhere.

    Example:  servable table secret
    """
    from servable.offline.push.webhook import new_secret

    made = new_secret()
    if as_json:
        show_json({"secret": made})
    else:
        print(made)


@app.command()
def rollback(name: Name, tables: Store = "", home: Home = None, as_json: AsJson = False) -> None:
    """Let readers see the generation before the live one.

    Example:  servable table rollback churn
    """
    from servable.stores.tables.history import roll_back

    with _opened(home, tables) as store:
        live = roll_back(store, name)
    if as_json:
        show_json({"table": name, "generation": live.number})
    else:
        print(f"{name}: generation {live.number}, by {live.model}:{live.version}, is live")


@app.command()
def drop(
    name: Name,
    generation: Annotated[int | None, typer.Option(help="This one alone.", show_default="all of the table")] = None,
    tables: Store = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove a table, or one of its generations that is not live.

    Example:  servable table drop churn
    """
    with _opened(home, tables) as store:
        store.drop(name, generation)
    if as_json:
        show_json({"table": name, "generation": generation, "dropped": True})
    else:
        print(f"{name} is gone" if generation is None else f"{name}: generation {generation} is gone")


def _wait(pause: float, why: str) -> None:
    if sys.stderr.isatty():
        say(f"{why}: again in {pause:.1f} s")
    time.sleep(pause)


@contextlib.contextmanager
def _opened(home: str | None, url: str) -> Iterator[Tables]:
    from servable.settings import load_settings
    from servable.stores.tables.open import open_tables

    settings = load_settings({"home": home})
    with contextlib.closing(open_tables(settings.home_path, url or settings.tables)) as store:
        yield store
