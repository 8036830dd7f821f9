"""Trial of a learner as it is packed: whether a journal is enough to make it again. On rows that its contract allows.

A learner that draws from a generator without a seed, that learns from being asked, or whose state leaves something out,
would be another one after each restart. Here it is told so by name, before anybody relies on it. It is a trial of a
few rows, no proof: `tests/contracts` holds our own learners to more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS, INTEGERS
from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.errors import BundleError, ServableError

ROWS: Final = 48
WITHIN_S: Final = 1.0
"""For a slow learner, fewer rows: as many as it learns in this time, but `FEWEST`."""
FEWEST: Final = 6
TEXTS: Final = ("north", "south", "east", "west")


def trial(
    make: Callable[[], Learner], signature: Signature, classes: Sequence[str | int], sample: Batch | None = None
) -> None:
    """Put it to the test on rows of the `sample`, if that has all inputs, or on any that the contract allows. Raises
    BundleError as `compare` does.
    """
    rows = _of(sample, signature) or examples(signature, ROWS)
    compare(make, rows, _outcomes(classes, rows.rows), WITHIN_S)
    faults = signature.check_outputs(make().predict(rows))
    if faults:
        raise BundleError(f"its answer is not what it declares: {'; '.join(map(str, faults))}")


def compare(make: Callable[[], Learner], rows: Batch, outcomes: Array, within_s: float) -> int:
    """How many of the rows it learns, in about so many seconds; those at which it raises are passed over, as a server
    does. Raises BundleError that says in which way it would not be the same again, or that it learns or answers none.
    """
    try:
        first = make()
    except ServableError:
        raise
    except Exception as error:
        raise BundleError(f"it cannot be made: {_named(error)}") from error
    _answers(first, rows)
    learned = _learned(first, rows, outcomes, within_s)
    told = _taught(make(), rows, outcomes, learned)
    if _differs(told, _taught(make(), rows, outcomes, learned)):
        raise BundleError(
            "taught the same twice, it is not the same: give everything in it that draws at random its seed"
        )
    asked = make()
    for row in learned:
        _answers(asked, rows.slice(0, min(3, rows.rows)))
        _learn(asked, rows, outcomes, row)
    if _differs(told, _answers(asked, rows)):
        raise BundleError("what it is asked changes what it learns: let `predict` leave its state alone")
    middle = len(learned) // 2
    before, after = make(), make()
    _taught(before, rows, outcomes, learned[:middle])
    if _differs(told, _taught(_restored(before, after), rows, outcomes, learned[middle:])):
        raise BundleError("its state does not hold all that it has learned: what is taken up again answers otherwise")
    return len(learned)


def _restored(before: Learner, after: Learner) -> Learner:
    try:
        after.restore(before.snapshot())
    except ServableError:
        raise
    except Exception as error:
        raise BundleError(f"its state cannot be kept, or not taken up again: {_named(error)}") from error
    return after


def examples(signature: Signature, rows: int) -> Batch:
    """Random rows that the contract allows, the same each time."""
    random = np.random.default_rng(7)
    return Batch({field.name: _values(field, rows, random) for field in signature.inputs}, rows)


def _of(sample: Batch | None, signature: Signature) -> Batch | None:
    """Rows of the sample as the inputs declare them; None where they do not fit."""
    if sample is None or not sample.rows:
        return None
    rows = sample.slice(0, min(sample.rows, ROWS))
    first = signature.inputs[0].name
    if len(signature.inputs) == 1 and first not in rows.columns:  # a matrix has no other name to go by
        rows = Batch({first: next(iter(rows.columns.values()))}, rows.rows)
    try:
        columns = {
            field.name: rows[field.name].reshape(rows.rows, *field.shape[1:]).astype(field.dtype)
            for field in signature.inputs
        }
    except (KeyError, ValueError):
        return None
    found = Batch(columns, rows.rows)
    return None if signature.check(found) else found


def by_feature(sample: Batch, signature: Signature) -> Batch:
    """The sample with a column for each feature, if that is what the `signature` of the sample says of its matrix, and
    the matrix as well.
    """
    columns = dict(sample.columns)
    for field in signature.inputs:
        if field.features and field.name in columns:
            columns |= {name: columns[field.name][:, place] for place, name in enumerate(field.features)}
    return Batch(columns, sample.rows)


def _outcomes(classes: Sequence[str | int], rows: int) -> Array:
    random = np.random.default_rng(11)
    if not classes:
        numbers: Array = random.normal(size=rows)
        return numbers
    kinds = np.array(classes, object if isinstance(classes[0], str) else np.int64)
    told: Array = kinds[random.permutation(np.arange(rows) % len(kinds))]
    return told


def _values(field: Field, rows: int, random: np.random.Generator) -> Array:
    shape = (rows, *(1 if size == -1 else size for size in field.shape[1:]))
    if field.categories or field.datatype == "BYTES":
        dated = tuple(f"2026-01-{day:02}" for day in range(1, 29)) if field.content == "date" else TEXTS
        kinds = np.array(field.categories or dated, field.dtype)
        return kinds[random.integers(0, len(kinds), shape)]
    low = field.low if field.low is not None else 0.0 if field.high is None else field.high - 1.0
    high = field.high if field.high is not None else low + 1.0
    values = random.uniform(low, high, shape)
    if field.datatype in FLOATS:
        return values.astype(field.dtype)
    if field.datatype in INTEGERS:
        return random.integers(int(np.ceil(low)), int(high) + 1, shape).astype(field.dtype)
    return (values > (low + high) / 2).astype(field.dtype)


def _learned(learner: Learner, rows: Batch, outcomes: Array, within_s: float) -> list[int]:
    """The rows that it learns. Raises BundleError if there is none."""
    learned, until, why = [], monotonic() + within_s, ""
    for row in range(rows.rows):
        try:
            _learn(learner, rows, outcomes, row)
            learned.append(row)
        except Exception as error:  # noqa: BLE001 - a wall: a learner may raise anything
            why = _named(error)
        if row + 1 >= FEWEST and monotonic() > until:
            break
    if not learned:
        raise BundleError(f"it learns nothing of what its inputs allow, say {_shown(rows)}: {why}")
    return learned


def _learn(learner: Learner, rows: Batch, outcomes: Array, row: int) -> None:
    learner.learn(rows.slice(row, row + 1), outcomes[row : row + 1])


def _taught(learner: Learner, rows: Batch, outcomes: Array, learned: Sequence[int]) -> dict[str, Array]:
    """What it answers once it has learned these."""
    for row in learned:
        try:
            _learn(learner, rows, outcomes, row)
        except Exception as error:
            raise BundleError(f"it learns {_shown(rows, row)} at one time, not at another: {_named(error)}") from error
    return _answers(learner, rows)


def _answers(learner: Learner, rows: Batch) -> dict[str, Array]:
    try:
        told = dict(learner.predict(rows).columns)
    except ServableError:
        raise
    except Exception as error:
        raise BundleError(f"it answers none of what its inputs allow, say {_shown(rows)}: {_named(error)}") from error
    for name, values in told.items():
        if len(values) != rows.rows:
            raise BundleError(f"it answers {rows.rows} rows with {len(values)} values of {name!r}")
    return told


def _differs(told: dict[str, Array], other: dict[str, Array]) -> bool:
    """To the bit; what is no number, and was none before, is the same."""
    pairs = [(values, other[name]) for name, values in told.items()]
    return not all(np.array_equal(one, two, equal_nan=one.dtype.kind == "f") for one, two in pairs)


def _shown(rows: Batch, row: int = 0) -> str:
    """One of them, for people."""
    told: dict[str, Any] = {name: values[row : row + 1].tolist()[0] for name, values in rows.columns.items()}
    return f"{told!r:.200}"


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
