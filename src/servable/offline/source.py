"""Source: what `--input` names, cut into parts. Equal input gives equal parts, however many workers there are.

A file, a folder or a glob, local or at a URL (`s3://bucket/…`): Parquet, Arrow, CSV or JSON Lines. The result of a
query is brought into files first: see `query.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from servable.errors import EnvironmentFault, InvalidInput, UsageError, unreadable
from servable.offline import policy
from servable.offline.order import Part
from servable.offline.piece import Form, Piece, arrow, of_rows, opened

PART_BYTES: Final = 32 << 20
LONGEST_LINE: Final = 16 << 20
PEEK_BYTES: Final = 1 << 18

FORMS: Final[dict[str, Form]] = {
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".csv": "csv", ".csv.gz": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonl.gz": "jsonl",
}  # fmt: skip
"""By the end of the file's name."""


class Source(NamedTuple):
    """`columns` are the names and Arrow types of its columns, `rows` their number where the files say so.

    `fingerprint` changes when a file does. `loose`: no header says all columns, they are those of the first rows.
    """

    columns: dict[str, Any]
    parts: tuple[Part, ...]
    rows: int | None
    fingerprint: str
    loose: bool = False


class _File(NamedTuple):
    path: str
    form: Form
    bytes: int
    changed: str


def find(where: str) -> Source:
    """The source of this name. Raises EnvironmentFault for what is not there, UsageError for what is not understood,
    InvalidInput for what is broken.
    """
    files = _files(where)
    forms = sorted({file.form for file in files})
    if len(forms) > 1:
        raise UsageError(f"{where}: expected files of one form, got {' and '.join(forms)}")
    columns: dict[str, Any] = {}
    pieces: list[tuple[Piece, int]] = []
    rows: int | None = 0
    for file in files:
        try:
            seen, cut, counted = _CUTS[file.form](file)
        except OSError as error:
            raise unreadable(file.path, error) from error
        except arrow().ArrowException as error:
            raise InvalidInput(f"{file.path} is no whole {file.form} file: {error}") from error
        if columns and list(seen) != list(columns) and file.form != "jsonl":
            raise UsageError(f"{file.path} has other columns than the files before it: {', '.join(seen)}")
        columns |= {name: kind for name, kind in seen.items() if name not in columns}
        rows = None if rows is None or counted is None else rows + counted
        pieces += cut
    told = "\n".join(f"{file.path} {file.bytes} {file.changed}" for file in files)
    return Source(columns, _parts(pieces), rows, hashlib.sha256(told.encode()).hexdigest(), forms == ["jsonl"])


def _files(where: str) -> list[_File]:
    from pyarrow import fs

    system: Any
    try:
        local = (fs.LocalFileSystem(), str(Path(where).absolute()))  # for workers elsewhere, and for readers of reports
        system, inside = fs.FileSystem.from_uri(where) if "://" in where else local
        prefix = f"{where.partition('://')[0]}://" if "://" in where else ""
        infos = _matching(system, inside)
    except OSError as error:
        raise unreadable(where, error) from error
    except ValueError as error:
        raise UsageError(f"cannot read {where!r}: {error}") from error
    except arrow().ArrowException as error:
        raise UsageError(f"cannot read {where!r}: {error}") from error
    if not infos:
        raise EnvironmentFault(f"there is nothing to read at {where!r}: expected a file, or files in a folder")
    found = []
    for info in sorted(infos, key=lambda info: str(info.path)):
        form = form_of(info.path)
        if form is not None:
            found.append(_File(prefix + info.path, form, info.size, str(info.mtime_ns)))
    if not found:
        raise UsageError(f"cannot read {where!r}: expected files that end with {', '.join(FORMS)}")
    return found


def _matching(system: Any, inside: str) -> list[Any]:
    """The files that a path, a folder or a glob means."""
    from pyarrow import fs

    if any(mark in inside for mark in "*?["):
        root = inside[: min(inside.index(mark) for mark in "*?[" if mark in inside)].rpartition("/")[0] or "."
        selected = system.get_file_info(fs.FileSelector(root, recursive=True))
        pattern = inside if inside.startswith(root) else f"{root}/{inside}"
        return [info for info in selected if info.is_file and fnmatchcase(info.path, pattern)]
    info = system.get_file_info(inside)
    if info.type == fs.FileType.Directory:
        listed = system.get_file_info(fs.FileSelector(inside, recursive=True))
        return [one for one in listed if one.is_file and not one.base_name.startswith((".", "_"))]
    return [info] if info.is_file else []


def form_of(path: str) -> Form | None:
    """The form of a file, by the end of its name."""
    return next((form for end, form in FORMS.items() if path.lower().endswith(end)), None)


Cut = tuple[dict[str, Any], list[tuple[Piece, int]], int | None]
"""Columns, pieces with their size as a share of a part's, rows."""


def _cut_parquet(file: _File) -> Cut:
    from pyarrow import parquet

    metadata = parquet.read_metadata(opened(file.path))
    schema = metadata.schema.to_arrow_schema()
    pieces, first = [], 0
    for at in range(metadata.num_row_groups):
        rows = metadata.row_group(at).num_rows
        pieces.append((Piece(file.path, file.form, at, at + 1, first), rows))
        first += rows
    return {field.name: field.type for field in schema}, pieces, metadata.num_rows


def _cut_arrow(file: _File) -> Cut:
    source = arrow().ipc.open_file(opened(file.path))
    pieces, first = [], 0
    for at in range(source.num_record_batches):
        rows = source.get_batch(at).num_rows
        pieces.append((Piece(file.path, file.form, at, at + 1, first), rows))
        first += rows
    return {field.name: field.type for field in source.schema}, pieces, first


def _cut_csv(file: _File) -> Cut:
    if file.path.endswith(".gz"):
        raise UsageError(f"{file.path}: packed CSV cannot be read in parts: unpack it, or let DuckDB read it (--query)")
    with opened(file.path) as data:
        head = data.read(PEEK_BYTES)
        line, _, _ = head.partition(b"\n")
        names = _header(line, file.path)
        spans = _spans(data, len(line) + 1, file.bytes, quoted=True)
    pieces = [(Piece(file.path, file.form, *span, header=names), policy.PART_ROWS) for span in spans]
    return dict.fromkeys(names, arrow().string()), pieces, None


def _header(line: bytes, path: str) -> tuple[str, ...]:
    import csv

    try:
        names = next(csv.reader([line.decode("utf-8-sig").rstrip("\r")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path}: its first line is no list of columns in UTF-8: {error}") from error
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise UsageError(
            f"{path}: expected commas between columns, got {names[0]!r:.80}: DuckDB reads other files, by --query "
            "and its read_csv('FILE') in place of --input"
        )
    if len(set(names)) != len(names) or not all(names):
        raise InvalidInput(f"{path}: its first line should name each column once, got {', '.join(names)}")
    return tuple(names)


def _cut_jsonl(file: _File) -> Cut:
    if file.path.endswith(".gz"):
        with arrow().input_stream(opened(file.path), compression="gzip") as stream:
            head = stream.read(PEEK_BYTES)
        return _seen(head), [(Piece(file.path, file.form, 0, None), policy.PART_ROWS)], None
    with opened(file.path) as data:
        head = data.read(PEEK_BYTES)
        spans = _spans(data, 0, file.bytes)
    return _seen(head), [(Piece(file.path, file.form, *span), policy.PART_ROWS) for span in spans], None


def _seen(head: bytes) -> dict[str, Any]:
    """Columns and types of the first rows."""
    rows = []
    for line in head.split(b"\n")[:1000]:
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return {field.name: field.type for field in of_rows(rows, None).schema} if rows else {}


def _spans(data: Any, start: int, end: int, *, quoted: bool = False) -> list[tuple[int, int]]:
    """Stretches of about PART_BYTES that end with a line. `quoted`: a line break between quotes ends none."""
    spans = []
    while start < end:
        stop = min(start + PART_BYTES, end)
        if stop < end:
            data.seek(start)
            within = quoted and _odd(data.read(stop - start))
            data.seek(stop)
            beyond = data.read(min(LONGEST_LINE, end - stop))
            at = _line_end(beyond, within=within)
            if at < 0 and end - stop > LONGEST_LINE:
                raise InvalidInput(f"a line is longer than {LONGEST_LINE} bytes, near byte {stop}")
            stop = end if at < 0 else stop + at + 1
        spans.append((start, stop))
        start = stop
    return spans


def _odd(text: bytes) -> bool:
    """Whether quotes are open at the end. Most files have none, which is seen ten times as fast as they are counted."""
    return b'"' in text and text.count(b'"') % 2 == 1


def _line_end(text: bytes, *, within: bool) -> int:
    r"""Where the first line ends, if `within` quotes after those are closed; the first break where they never are, for
    then they are no quotes; -1: nowhere.

    >>> _line_end(b'a\nb",c\nd', within=True), _line_end(b'a\nb,c\nd', within=True), _line_end(b"a", within=False)
    (6, 1, -1)
    """
    start, first = 0, text.find(b"\n")
    at = first
    while at >= 0:
        within ^= text.count(b'"', start, at) % 2 == 1
        if not within:
            return at
        start, at = at, text.find(b"\n", at + 1)
    return first


def _parts(pieces: Sequence[tuple[Piece, int]]) -> tuple[Part, ...]:
    """Neighbours together until a part has its size."""
    parts: list[Part] = []
    held: list[Piece] = []
    rows, left = 0, sum(size for _, size in pieces)
    for piece, size in pieces:
        last = held[-1] if held else None
        if last is not None and last.path == piece.path and last.stop == piece.start and piece.form == "parquet":
            held[-1] = Piece(last.path, last.form, last.start, piece.stop, last.first_row)
        else:
            held.append(piece)
        rows += size
        if rows >= policy.part_rows(left):
            parts.append(Part(len(parts), tuple(held)))
            held, rows, left = [], 0, left - rows
    if held:
        parts.append(Part(len(parts), tuple(held)))
    return tuple(parts)


_CUTS: Final[dict[str, Any]] = {
    "parquet": _cut_parquet,
    "arrow": _cut_arrow,
    "csv": _cut_csv,
    "jsonl": _cut_jsonl,
}
