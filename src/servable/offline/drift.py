"""How far the rows of a job are from those that its model was trained on, column by column.

A sample of the input is held against the bundle's profile: deciles of numbers, shares of categories.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from servable.domain.batch import Array
from servable.domain.columns import columns, numbers
from servable.domain.field import Field
from servable.domain.profile import Column, Profile
from servable.domain.signature import Signature
from servable.offline.intake import take
from servable.offline.piece import read
from servable.offline.source import Source
from servable.statistics.stability import stability

LOOKS = 8
"""Parts of the input that are looked into, from the first to the last; of each the first block of rows."""


def drift(source: Source, names: Sequence[str], signature: Signature, profile: Profile) -> dict[str, float]:
    """The population stability index of each column that the profile knows, the largest first."""
    seen: dict[str, list[Array]] = {}
    fields: dict[str, Field] = {}
    for at in np.unique(np.linspace(0, len(source.parts) - 1, LOOKS).astype(int)).tolist():
        block = next(iter(read(source.parts[at].pieces[0], names)), None)
        if block is None or not block.rows.num_rows:
            continue
        batch = take(block.rows, signature).batch
        for field in signature.inputs:
            for name, values in columns(batch, [field]).items():
                seen.setdefault(name, []).append(values)
                fields[name] = field
    found = {
        name: _index(known, np.concatenate(seen[name]), fields[name])
        for name, known in profile.columns.items()
        if name in seen
    }
    moved = {name: index for name, index in found.items() if index is not None}
    return dict(sorted(moved.items(), key=lambda pair: -pair[1]))


def _index(known: Column, values: Array, field: Field) -> float | None:
    """None where the profile says too little."""
    if known.kind == "categorical":
        texts = [str(value) for value in values.tolist() if value is not None]
        counts = [texts.count(name) for name in known.frequencies]
        return stability([*known.frequencies.values(), known.other], [*counts, len(texts) - sum(counts)])
    if not known.quantiles or known.kind == "text":
        return None
    edges = np.unique(known.quantiles[10:91:10])
    present = numbers(values, field)
    present = present[np.isfinite(present)]
    expected = np.histogram(np.asarray(known.quantiles), [-np.inf, *edges, np.inf])[0]
    return stability(expected.tolist(), np.histogram(present, [-np.inf, *edges, np.inf])[0].tolist())
