"""A bulk job: the input in parts to an engine's hands, their answers in order into a generation, which is then live.

A part's files are whole or not there; a generation is live or not seen. So a job that dies at any moment has changed
nothing that readers see, and `resume` ends it as if it had not died.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from servable.bundles.environments import ENVIRONMENTS
from servable.bundles.profile import read_profile
from servable.domain.bundle import Bundle
from servable.domain.verdict import Verdict
from servable.engine.plan import Target
from servable.errors import CheckFailed, UsageError
from servable.offline.drift import drift
from servable.offline.folder import REJECTED_FILE, Folder, Spec
from servable.offline.hands import Engine
from servable.offline.intake import absent, named, needed
from servable.offline.keying import kind_of
from servable.offline.order import Order
from servable.offline.query import snapshot
from servable.offline.scorer import outputs_of
from servable.offline.source import Source, find
from servable.offline.whole import disk
from servable.offline.work import Progress, Work, publish
from servable.statistics.stability import MUCH
from servable.stores.tables.generation import Generation, KeyKind
from servable.stores.tables.port import Tables
from servable.stores.whole import sync

DUPLICATES = ("last", "first", "refuse")
MISSES = ("refuse", "predict")


class Wish(NamedTuple):
    """What somebody wants of a job: where it reads, and where its answers go (a table, a folder of Parquet, or both).

    Of the input's columns `columns` go into the folder beside the answers, None: all.

    `source` is a file, folder, glob or URL; with a `query`, the database's URL, or empty for DuckDB. Of two rows with
    one key the `last` or the `first` is kept, or the job fails (`refuse`). `max_bad` is the share of rows that may stay
    without an answer. `keep` generations of the table stay. `engine` is who does it.
    `fallbacks` are what the model's rules hand rows over to, by their Refs.
    """

    source: str
    query: str = ""
    key: str = ""
    table: str = ""
    output: str = ""
    columns: tuple[str, ...] | None = None
    duplicates: str = "last"
    max_bad: float = 0.01
    fresh_s: float | None = None
    on_miss: str = "refuse"
    keep: int = 2
    engine: Engine = Engine()
    fallbacks: Mapping[str, Target] = MappingProxyType({})


def run(
    wish: Wish,
    target: Target,
    bundle: Bundle,
    home: Path,
    tables: Tables,
    *,
    resume: bool = False,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Verdict:
    """Do it. Raises CheckFailed where too many rows are bad, and what stands in the way."""
    _demand(wish, bundle)
    began = time.monotonic()
    with Folder(home, wish.table or _name_of(Path(wish.output))) as folder:
        source = snapshot(wish.source, wish.query, folder, resume=resume) if wish.query else find(wish.source)
        if not source.parts:
            raise CheckFailed(f"{wish.source or 'the query'} has no rows: nothing was changed")
        kind = _key_kind(wish, source)
        shown = source.columns if wish.columns is None else _shown(wish.columns, source)
        signature = named(bundle.signature, list(source.columns), wish.key)
        lacking = absent(signature, source.columns)
        # Of lines of JSON only the first were looked at: a column may come later.
        columns = [*needed(signature, list(source.columns)), *(lacking if source.loose else ())]
        spec = Spec(
            target.name, target.version, bundle.digest, source.fingerprint, wish.key, wish.table, wish.output,
            wish.duplicates, wish.columns, time.time(),
        )  # fmt: skip
        if resume and (done := folder.finished(spec)) is not None:
            return done
        spec = folder.begin(spec, resume=resume)
        if wish.key:
            columns = list(dict.fromkeys([*columns, wish.key]))
        read = tuple(dict.fromkeys([*shown, *columns])) if wish.output else tuple(columns)
        features = () if signature is bundle.signature else signature.inputs[0].features
        order = Order(
            target,
            str(folder.path),
            wish.key,
            kind,
            read,
            features,
            wish.output,
            wish.columns,
            bool(wish.table),
            dict(wish.fallbacks),
            str(home / ENVIRONMENTS),
        )
        work = Work(folder, source, order, wish.max_bad, tell)

        def end(generation: Generation | None, duplicates: int) -> Verdict:
            profile = read_profile(bundle)
            moved = {} if profile is None else drift(source, columns, signature, profile)
            moved = {name: index for name, index in moved.items() if name not in lacking}
            return _end(wish, work, generation, duplicates, lacking=lacking, moved=moved, began=began)

        if not wish.table:
            for _ in work.done(wish.engine):
                pass
            return end(None, 0)
        stated = Generation(
            wish.table, target.name, target.version, bundle.digest, spec.started, kind, outputs_of(bundle),
            wish.key, wish.fresh_s, "predict" if wish.on_miss == "predict" else "refuse",
        )  # fmt: skip
        generation, duplicates = work.fill(tables, stated, wish.duplicates, wish.engine)
        publish(tables, generation, wish.keep)
        return end(generation, duplicates)


def _demand(wish: Wish, bundle: Bundle) -> None:
    """Raise UsageError for a wish that cannot be meant."""
    if not wish.table and not wish.output:
        raise UsageError("say where the answers go: --table NAME, --output FOLDER, or both")
    if wish.columns is not None and not wish.output:
        raise UsageError("--columns are those of the files of --output FOLDER: say where they go")
    if wish.table and not wish.key:
        raise UsageError("a table needs --key COLUMN: what its rows are asked for by")
    if wish.duplicates not in DUPLICATES:
        raise UsageError(f"--duplicates: expected one of {', '.join(DUPLICATES)}, got {wish.duplicates!r}")
    if wish.on_miss not in MISSES:
        raise UsageError(f"--on-miss: expected one of {', '.join(MISSES)}, got {wish.on_miss!r}")
    if not 0 <= wish.max_bad <= 1:
        raise UsageError(f"--max-bad: expected a share from 0 to 1, got {wish.max_bad}")
    if wish.keep < 1:
        raise UsageError(f"--keep: expected 1 or more, got {wish.keep}")
    wish.engine.demand()
    if not bundle.signature.batched:
        raise UsageError(f"{bundle.name} answers no rows: its inputs share no first axis, so there is no bulk")
    if wish.output and Path(wish.output).exists() and not Path(wish.output).is_dir():
        raise UsageError(f"--output {wish.output}: expected a folder, for a Parquet file a part")


def _name_of(output: Path) -> str:
    """What a job for this folder alone is called: no other is, whatever its folder is called."""
    place = output.absolute()
    name = re.sub(r"[^A-Za-z0-9_-]", "_", place.name)[:40]
    return f"output-{name}-{hashlib.sha256(bytes(place)).hexdigest()[:8]}"


def _shown(columns: Sequence[str], source: Source) -> Sequence[str]:
    if strange := [name for name in columns if name not in source.columns]:
        raise UsageError(
            f"--columns: the input has no column {', '.join(map(repr, strange))}: it has {', '.join(source.columns)}"
        )
    return columns


def _key_kind(wish: Wish, source: Source) -> KeyKind:
    if not wish.key:
        return "text"
    if wish.key not in source.columns:
        raise UsageError(f"the input has no column {wish.key!r} for the key: it has {', '.join(source.columns)}")
    return kind_of(source.columns[wish.key], wish.key)


def _end(
    wish: Wish,
    work: Work,
    generation: Generation | None,
    duplicates: int,
    *,
    lacking: Sequence[str],
    moved: Mapping[str, float],
    began: float,
) -> Verdict:
    """The summary, written down; the job is over."""
    rejected = work.folder.gather_rejected(len(work.source.parts))
    numbers = {
        "rows": work.rows, "answered": work.rows - work.bad, "bad": work.bad, "duplicates": duplicates,
        "seconds": round(time.monotonic() - began, 3), "parts": len(work.source.parts), "parts_resumed": work.resumed,
    }  # fmt: skip
    where = []
    if generation is not None:
        numbers |= {"generation": generation.number}
        where.append(f"table {wish.table!r}, generation {generation.number}")
    if wish.output:
        _settle(Path(wish.output), len(work.source.parts))
        where.append(wish.output)
    told = f"{work.rows - work.bad:,} of {work.rows:,} rows answered, in {' and '.join(where)}"
    evidence: dict[str, Any] = {"rejected": str(work.folder.path / REJECTED_FILE)} if rejected else {}
    if lacking:
        evidence["lacking"] = list(lacking)
        told += (
            f"; without {', '.join(lacking)}, which the {'first rows have' if work.source.loose else 'input has'} not"
        )
    if moved:
        numbers["drift"] = round(max(moved.values()), 4)
        far = {name: round(index, 4) for name, index in moved.items() if index > MUCH}
        if far:
            evidence["drift"] = far
            told += f"; far from the training data: {', '.join(far)}"
    verdict = Verdict("batch", passed=True, reason=told, numbers=numbers, evidence=evidence)
    work.folder.end(verdict)
    return verdict


def _settle(output: Path, parts: int) -> None:
    """Remove what an earlier job left beside our files, and put the folder on disk."""
    ours = {f"part-{number:06d}.parquet" for number in range(parts)}
    with disk(output):
        output.mkdir(parents=True, exist_ok=True)
        for path in (*output.glob("part-*.parquet"), *output.glob(".part-*.parquet.*")):  # and of workers that died
            if path.name not in ours:
                path.unlink()
        sync(output)
