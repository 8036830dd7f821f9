"""The work of a job: its parts done by an engine's hands, their answers put into a generation in the input's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import NamedTuple

import msgspec

from servable.errors import CheckFailed
from servable.offline import policy
from servable.offline.folder import GENERATION, REJECTED_FILE, Folder
from servable.offline.hands import Engine
from servable.offline.order import Order
from servable.offline.results import read_answers
from servable.offline.source import Source
from servable.offline.whole import write_whole
from servable.stores.tables.generation import Generation
from servable.stores.tables.history import retain
from servable.stores.tables.port import Tables


class Progress(NamedTuple):
    """Where a job stands. `total` is how many rows there are, None where only the end will tell."""

    rows: int
    total: int | None
    parts: int
    all_parts: int


class Work:
    """What is done, and what is left. Parts that were done before are not done again."""

    def __init__(
        self,
        folder: Folder,
        source: Source,
        order: Order,
        max_bad: float,
        tell: Callable[[Progress], None],
    ) -> None:
        self.folder = folder
        self.source = source
        self._order = order
        self._max_bad = max_bad
        self._tell = tell
        self._scored = folder.done()
        self.resumed = len(self._scored)

    @property
    def rows(self) -> int:
        return sum(scored.rows for scored in self._scored.values())

    @property
    def bad(self) -> int:
        return sum(scored.bad for scored in self._scored.values())

    def done(self, engine: Engine) -> Iterator[int]:
        """Have all done: the number of each part in the order of the input, as soon as it and all before it are.

        Raises CheckFailed when too many rows are bad, and what a worker could not do.
        """
        left = [part for part in self.source.parts if part.number not in self._scored]
        turn = 0
        with ExitStack() as held:
            reports = held.enter_context(engine.hands(self._order)).run(left) if left else ()
            for scored in chain((None,), reports):
                if scored is not None:
                    self._scored[scored.number] = scored
                self._look()
                while turn in self._scored:
                    yield turn
                    turn += 1

    def _look(self) -> None:
        rows, bad, all_parts = self.rows, self.bad, len(self.source.parts)
        self._tell(Progress(rows, self.source.rows, len(self._scored), all_parts))
        over = len(self._scored) == all_parts
        if policy.too_many_bad(rows, bad, self.source.rows, self._max_bad, over=over):
            self.folder.gather_rejected(all_parts)
            raise CheckFailed(
                f"{bad} of {rows} rows have no answer, more than the share of {self._max_bad:g} that is allowed "
                f"(--max-bad): {self.folder.path / REJECTED_FILE} says why of each",
                rows=rows,
                bad=bad,
            )

    def fill(self, tables: Tables, stated: Generation, duplicates: str, engine: Engine) -> tuple[Generation, int]:
        """A generation of all answers, finished and not yet live, and how many rows gave way to another of their key.

        One that this job has finished already is taken as it is.
        """
        known = self.folder.path / GENERATION
        if known.exists():
            made = msgspec.json.decode(known.read_bytes(), type=Generation)
            if made in tables.generations(stated.table):
                return made, self.rows - self.bad - made.rows
        with tables.begin(stated) as writer:
            for part in self.done(engine):
                path = self.folder.answers(part)
                for keys, answers in read_answers(path) if path.exists() else ():
                    new = writer.write(keys, answers, "first" if duplicates == "first" else "last")
                    if duplicates == "refuse" and new < len(keys):
                        raise CheckFailed(
                            f"{len(keys) - new} rows have a key that another row has (part {part} of the input): "
                            "choose which one stays with --duplicates last or first"
                        )
            made = writer.finish()
        write_whole(known, msgspec.json.encode(made))
        return made, self.rows - self.bad - made.rows


def publish(tables: Tables, generation: Generation, keep: int) -> None:
    """Let readers see it, and let go of what is more than `keep` generations, first of those that were rolled back."""
    known = [one.number for one in tables.generations(generation.table)]
    before = tables.live(generation.table).number if generation.table in tables.names() else 0
    tables.switch(generation.table, generation.number)
    for number in known:
        if before < number < generation.number:
            tables.drop(generation.table, number)
    retain(tables, generation.table, keep)
