"""`servable feedback`: what became of predictions, sent to the server that made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json, working
from servable.errors import UsageError

AT_ONCE: Final = 1000
"""Outcomes of one call."""
FIELDS: Final = ("id", "outcome", "time", "version")


def feedback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model that predicted.")],
    source: Annotated[
        Path, typer.Option("--file", help="Columns id, outcome, and time and version: csv, json, jsonl, parquet.")
    ],
    url: Annotated[str | None, typer.Option(help="The server.", show_default="the one that the settings say")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Tell what became of predictions, by their ids. Sent again it changes nothing; a correction has a higher version.

    A key for the server is taken from the environment, SERVABLE_KEY.

    Example:  servable feedback churn --file outcomes.csv
    """
    from servable.cli.network import call
    from servable.domain.ref import Ref
    from servable.settings import load_settings
    from servable.wire.row_files import read_rows

    if url is None:
        settings = load_settings({"home": home})
        url = f"http://{settings.host}:{settings.http_port}"
    rows = read_rows(source, {"id"})
    if not rows:
        raise UsageError(f"{str(source)!r} holds no outcomes")
    outcomes = [_outcome(row, source) for row in rows]
    route = f"{url.rstrip('/')}/v2/models/{Ref.parse(name).name}/feedback"
    accepted, unknown = 0, []
    with working(f"sending {len(outcomes)} outcomes"):
        for start in range(0, len(outcomes), AT_ONCE):
            told = json.loads(call(route, json.dumps({"outcomes": outcomes[start : start + AT_ONCE]}).encode()))
            accepted += told["accepted"]
            unknown += told.get("unknown", [])
    if as_json:
        show_json({"accepted": accepted, "unknown": unknown})
        return
    print(f"outcomes accepted: {accepted}")
    if unknown:
        say(f"{len(unknown)} are of predictions that {name} does not know, such as {unknown[0]!r}")


def _outcome(row: dict[str, Any], source: Path) -> dict[str, Any]:
    """What the server is told of a row: columns that are something else stay here, and so does what is empty."""
    if row.get("id") in {None, ""} or row.get("outcome") is None:
        raise UsageError(f"{str(source)!r}: expected columns 'id' and 'outcome' in every row, got {row!r:.120}")
    kept = {field: row[field] for field in FIELDS if row.get(field) is not None}
    return kept | {"id": str(kept["id"])}
