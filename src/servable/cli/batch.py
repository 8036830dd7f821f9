"""`servable batch`: predict in bulk, into a table that is served by key, or into Parquet files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import show_json
from servable.errors import UsageError

if TYPE_CHECKING:
    from servable.offline.work import Progress

Store = Annotated[
    str, typer.Option(help="Where tables are: a folder, redis://…, postgresql://….", show_default="in the home")
]


def batch(
    ref: Annotated[str, typer.Argument(metavar="REF|PATH", help="A registered model, a bundle or a model file.")],
    source: Annotated[
        str,
        typer.Option(
            "--input",
            help="Rows: a file, folder or glob of parquet, arrow, csv or jsonl, or s3://…; with --query a database.",
            metavar="DATA",
        ),
    ] = "",
    query: Annotated[str, typer.Option(help="SQL: for the database of --input, or without one for DuckDB.")] = "",
    key: Annotated[str, typer.Option(help="The column that rows are asked for by.", metavar="COLUMN")] = "",
    table: Annotated[str, typer.Option(help="The table that gets the answers.", metavar="NAME")] = "",
    output: Annotated[str, typer.Option(help="A folder for Parquet files: rows and answers.", metavar="DIR")] = "",
    columns: Annotated[
        str | None,
        typer.Option(help="Those of the input that go into --output, with commas.", metavar="A,B", show_default="all"),
    ] = None,
    tables: Store = "",
    duplicates: Annotated[str, typer.Option(help="Of rows with one key: last, first, or refuse.")] = "last",
    max_bad: Annotated[float, typer.Option(help="The share of rows that may stay without an answer.")] = 0.01,
    fresh: Annotated[str | None, typer.Option(help="Answers older than this are stale: 36h, 7d.")] = None,
    on_miss: Annotated[str, typer.Option(help="For a key that is not there: refuse, or predict.")] = "refuse",
    keep: Annotated[int, typer.Option(help="Generations of the table that stay.")] = 2,
    push: Annotated[list[str] | None, typer.Option(help="Then push what changed there: see table push.")] = None,
    engine: Annotated[str, typer.Option(help="Who does it: local, spark or ray.")] = "local",
    cluster: Annotated[
        str,
        typer.Option(help="Where it is: spark://…, local[4]; Ray's HOST:PORT.", show_default="as configured"),
    ] = "",
    workers: Annotated[int | None, typer.Option(help="Processes.", show_default="one a core")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the job that was left.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Predict for every row of a data set. The table switches to the new answers when all of them are there.

    Rows that do not fit the model are set aside with the reason; past --max-bad the job fails and changes nothing.

    Example:  servable batch churn@champion --input customers.parquet --key customer_id --table churn
    """
    from servable.offline.early import Early, likely_workers

    if push and not table:
        raise UsageError("--push brings what changed in a table: give --table NAME")
    with contextlib.ExitStack() as held:
        early = held.enter_context(Early(likely_workers(source, workers) if engine == "local" else 0))
        from servable.cli.durations import seconds
        from servable.cli.live import live
        from servable.offline.hands import Engine
        from servable.offline.job import Wish, run
        from servable.offline.push.watch import deliver
        from servable.settings import load_settings
        from servable.stores.tables.open import open_tables

        settings = load_settings({"home": home})
        target, bundle = live(settings, ref)
        fallbacks = {rule.fallback: live(settings, rule.fallback)[0] for rule in bundle.manifest.rules if rule.fallback}
        wish = Wish(
            source, query, key, table, output,
            None if columns is None else tuple(dict.fromkeys(filter(None, columns.split(",")))), duplicates, max_bad,
            None if fresh is None else seconds(fresh, "--fresh"), on_miss, keep,
            Engine(engine, workers, cluster, early), fallbacks,
        )  # fmt: skip
        store = held.enter_context(contextlib.closing(open_tables(settings.home_path, tables or settings.tables)))
        with _progress() as tell:
            verdict = run(wish, target, bundle, settings.home_path, store, resume=resume, tell=tell)
            delivered = [told for url in push or () for told in deliver(store, settings.home_path, table, url)]
    if as_json:
        import msgspec

        show_json(msgspec.to_builtins(verdict))
    else:
        print(verdict)
        for what, where in verdict.evidence.items():
            print(f"{what}: {where}")
        for told in delivered:
            print(f"pushed: {told.messages} messages of generation {told.generation}")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """A bar with rate and time left on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.percentage:3.0f} %  {task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(progress: Any) -> None:
            bar.update(task, total=progress.all_parts, completed=progress.parts)
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = progress.rows / elapsed if elapsed else 0.0
            bar.update(task, description=f"{progress.rows:,} rows, {rate:,.0f} a second")

        yield tell
