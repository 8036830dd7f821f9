"""What people see: tables and progress on a terminal; plain lines and silence in a pipe.

Answers go to standard output, talk to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


def say(text: str) -> None:
    """A word beside the answer, for people."""
    print(text, file=sys.stderr, flush=True)


def show_json(data: Any) -> None:
    """The answer, for programs."""
    print(json.dumps(data, default=str), flush=True)


def show_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with the same keys: a table on a terminal, in a pipe tab-separated lines under a line of headings."""
    if not rows:
        return
    heads = list(rows[0])
    if not sys.stdout.isatty():
        print("\t".join(heads))
        for row in rows:
            print("\t".join(_plain(row[head]) for head in heads))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(_plain(row[head]) for head in heads))
    Console(markup=False, highlight=False).print(table)


@contextmanager
def working(text: str) -> Iterator[None]:
    """A sign of life while something takes more than a moment; none in a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value).replace("\t", " ").replace("\n", " ")
