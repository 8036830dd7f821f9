"""`servable keys`: make, list and revoke the API keys of a home. Running servers take it up within two seconds."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from servable.errors import UsageError
from servable.server.access.keys import Key, Keys
from servable.settings import load_settings

app = typer.Typer(help="API keys and their roles.", no_args_is_help=True)

SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Home = Annotated[str | None, typer.Option(help="Where state lies.", show_default="~/.servable")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is: a person or a program.")],
    role: Annotated[
        list[str] | None,
        typer.Option(help="viewer, invoker, feedback, deployer or admin; may be repeated.", show_default="invoker"),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A pattern of the models it is for; may be repeated.", show_default="*")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="After 12h, 30d, 8w; or on a date, 2027-01-31.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is printed now and never again.

    Example:  servable keys create ada --role invoker --model "churn*" --expires 90d
    """
    keys = _keys(home)
    until = None if expires is None else when(expires, time.time())
    secret, key = keys.create(name, role or ["invoker"], model or ["*"], until)  # type: ignore[arg-type]
    if as_json:
        print(json.dumps({"key": secret, **_told(key)}))
        return
    print(secret)
    typer.echo(f"This is all that will ever be shown of it. {_line(key)}", err=True)
    typer.echo("Use it:  curl -H 'Authorization: Bearer KEY' ...", err=True)


@app.command("list")
def list_keys(home: Home = None, as_json: AsJson = False) -> None:
    """The keys there are, without their secrets.

    Example:  servable keys list
    """
    keys = _keys(home).on_file()
    if as_json:
        print(json.dumps([_told(key) for key in keys]))
    elif keys:
        print("\n".join(_line(key) for key in keys))
    else:
        typer.echo("There are no keys. Make one:  servable keys create NAME --role invoker", err=True)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id or name.")], home: Home = None, as_json: AsJson = False
) -> None:
    """Take a key away. Servers refuse it within two seconds.

    Example:  servable keys revoke ada
    """
    gone = _keys(home).revoke(key)
    print(json.dumps({"revoked": _told(gone)}) if as_json else f"revoked: {_line(gone)}")


def when(text: str, now: float) -> float:
    """A time from now (`90d`) or a date (`2027-01-31`, its start in UTC), as seconds since the epoch.

    >>> when("2h", 1000.0)
    8200.0
    """
    if found := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return now + int(found[1]) * SECONDS[found[2]]
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--expires: expected 12h, 30d, 8w or a date such as 2027-01-31, got {text!r:.80}") from error
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _keys(home: str | None) -> Keys:
    return Keys(load_settings({"home": home}).home_path)


def _told(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "roles": list(key.roles),
        "models": list(key.models),
        "created": _date(key.created),
        "expires": None if key.expires is None else _date(key.expires),
        "expired": key.expired(time.time()),
    }


def _line(key: Key) -> str:
    end = (
        "" if key.expires is None else f", {'expired' if key.expired(time.time()) else 'expires'} {_date(key.expires)}"
    )
    return f"{key.id}  {key.name}: {', '.join(key.roles)} for {', '.join(key.models)}{end}"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
