"""Inputs for jobs: small CSV files, each of which is a part of its own; and what a table holds in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servable.stores.tables.keys import decode
from servable.stores.tables.layout import Layout
from servable.stores.tables.open import open_tables
from servable.stores.tables.port import Tables


def csv_files(folder: Path, files: int = 3, rows: int = 10, more: str = "") -> Path:
    """Columns id, a, b; `more` lines at the end of the last file."""
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(files):
        lines = [f"k{number},{number},{number / 2}" for number in range(at * rows, (at + 1) * rows)]
        end = more if at == files - 1 else ""
        (folder / f"{at:03d}.csv").write_text("id,a,b\n" + "\n".join(lines) + "\n" + end)
    return folder


def held(tables: Tables, table: str) -> dict[Any, dict[str, Any]]:
    """All rows of the live generation, by key."""
    live = tables.live(table)
    layout = Layout(live.columns)
    pairs = [pair for block in tables.scan(table, live.number) for pair in block]
    rows = layout.rows([answer for _, answer in pairs])
    return {decode(key, live.key): row for (key, _), row in zip(pairs, rows, strict=True)}


def held_at(home: Path, table: str) -> dict[Any, dict[str, Any]]:
    """The same, of a home."""
    tables = open_tables(home)
    try:
        return held(tables, table)
    finally:
        tables.close()
