"""A bundle about to be written: its manifest, its files, and the golden rows that go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from servable.bundles.golden import golden_bytes
from servable.domain.batch import Batch
from servable.domain.bundle import Manifest
from servable.domain.model import Model

GOLDEN_ROWS: Final = {"sample": 8, "mixed": 2, "boundary": 4, "extreme": 4, "missing": 2, "unseen": 2}
"""How many rows of each kind stay in a bundle."""
GOLDEN_CELLS: Final = 200_000
"""Of wide rows, as many as have this many values together."""


class Draft(msgspec.Struct, frozen=True):
    """What is about to be written: the manifest, and the files by their path in the bundle."""

    manifest: Manifest
    files: dict[str, bytes | Path]


def golden_of(model: Model, rows: list[tuple[str, Batch]]) -> bytes:
    """Some rows of every kind with the model's own answers."""
    chosen = []
    for kind, count in GOLDEN_ROWS.items():
        batches = [batch for its, batch in rows if its == kind]
        if batches:
            every = Batch.join(batches)
            index = np.unique(np.linspace(0, every.rows - 1, min(count, every.rows)).astype(int))
            chosen.append(Batch({name: array[index] for name, array in every.columns.items()}, len(index)))
    batch = Batch.join(chosen)
    cells = sum(array.size for array in batch.columns.values())
    if cells > GOLDEN_CELLS:
        batch = batch.slice(0, max(1, batch.rows * GOLDEN_CELLS // cells))
    return golden_bytes(batch, model.predict(batch))
