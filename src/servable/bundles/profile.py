"""Makes the profile of a sample while packing, keeps some of its rows, and reads both back from a bundle.

Both files are JSON: the profile is that of `domain/profile.py`; the reference sample is `{"inputs": {name: tensor},
"label": tensor, "rows": n}`, inputs as the model's doors take them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from servable.bundles.tensors import Tensor, tensor
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.columns import column_names, columns, numbers
from servable.domain.field import Field
from servable.domain.profile import Column, Histogram, Profile
from servable.errors import CorruptModel
from servable.runtimes import verified
from servable.runtimes.features import category_text

PROFILE: Final = "profile.json"
REFERENCE: Final = "reference.json"

MAX_COLUMNS: Final = 512
"""A matrix of more columns (pixels, an embedding) is described as a whole, all its values together."""
MAX_CATEGORIES: Final = 200
"""Texts of no more distinct values than this, each on two rows or more on average, are categories."""
FEW: Final = 20
"""Numbers of at most so many distinct values are counted by value as well: codes, flags, small counts."""
BINS: Final = 32
CELLS: Final = 200_000
"""Of wide rows, as many are kept as have this many values together."""


class Reference(NamedTuple):
    """Rows of the training sample, and their true outcomes where the sample had them."""

    inputs: Batch
    label: Array | None


def profile_of(batch: Batch, fields: tuple[Field, ...]) -> dict[str, Column]:
    """Every column of a batch, described; a field without columns, or of very many, as one.

    >>> batch = Batch({"age": np.array([[20.0], [30.0], [np.nan]])})
    >>> found = profile_of(batch, (Field("age", "FP64", (-1, 1), values="missing"),))["age"]
    >>> found.count, found.missing, found.mean, found.quantiles[50]
    (2, 1, 25.0, 25.0)
    """
    found: dict[str, Column] = {}
    for field in fields:
        if 0 < len(column_names(field)) <= MAX_COLUMNS:
            found |= {name: describe(array, field) for name, array in columns(batch, [field]).items()}
        else:
            found[field.name] = describe(batch[field.name].ravel(), field)
    return found


def describe(array: Array, field: Field) -> Column:
    """One column of values."""
    if field.datatype == "BOOL":
        return _categories(list(map(str, array.tolist())), 0)
    if field.datatype == "BYTES" and field.content != "date":
        known = [value for value in array.tolist() if value is not None]
        missing = len(array) - len(known)
        texts = [value for value in known if isinstance(value, str)]
        distinct = len(set(texts))
        if len(texts) == len(known) and distinct <= MAX_CATEGORIES and 2 * distinct <= max(len(known), 2):
            return _categories(texts, missing)
        return _numbers("text", numbers(array, field))
    found = numbers(array, field)
    if field.content == "date":
        return _numbers("date", found)
    return _numbers("numeric", found)


def _categories(values: list[str], missing: int, *, most: int = MAX_CATEGORIES) -> Column:
    listed = _counted(values, most)
    return Column("categorical", len(values), missing, frequencies=listed, other=len(values) - sum(listed.values()))


def _counted(values: list[str], most: int) -> dict[str, int]:
    """Values with their counts, the most frequent first, then by name."""
    distinct, counts = np.unique(np.asarray(values, object).astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return {str(distinct[at]): int(counts[at]) for at in order}


def _numbers(kind: Any, values: Array) -> Column:
    """Numbers over the finite ones; an infinity counts as a value that was there."""
    missing = int(np.isnan(values).sum())
    finite = np.sort(values[np.isfinite(values)])
    if not finite.size:
        return Column(kind, len(values) - missing, missing)
    with np.errstate(all="ignore"):
        mean, std = _known(finite.mean()), _known(finite.std())
        quantiles = np.quantile(finite, np.linspace(0, 1, 101))
    few = {}
    if kind == "numeric" and np.unique(finite).size <= FEW:
        few = _counted([category_text(value) for value in finite.tolist()], FEW)
    return Column(
        kind, len(values) - missing, missing, float(finite[0]), float(finite[-1]), mean, std,
        tuple(quantiles.tolist()) if np.isfinite(quantiles).all() else (), _histogram(finite), few,
    )  # fmt: skip


def _histogram(finite: Array) -> Histogram | None:
    """None where the values are too far apart, or too close, for edges of equal distance."""
    with np.errstate(all="ignore"):
        if not np.isfinite(finite[-1] - finite[0]):
            return None
    try:
        counts, edges = np.histogram(finite, BINS)
    except ValueError:  # no 32 numbers lie between them
        return None
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


# ---- the files


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    inputs: dict[str, Tensor]
    rows: int
    label: Tensor | None = None


def profile_bytes(profile: Profile) -> bytes:
    """The profile as a file's content. Equal profiles give equal bytes."""
    return msgspec.json.encode(profile) + b"\n"


def reference_bytes(inputs: Batch, label: Array | None) -> bytes:
    """Rows as a file's content, fewer if they are wide. Equal rows give equal bytes."""
    cells = sum(array.size for array in inputs.columns.values())
    rows = inputs.rows if cells <= CELLS else max(1, inputs.rows * CELLS // cells)
    kept = np.unique(np.linspace(0, inputs.rows - 1, rows).astype(int))
    written = _Written(
        {name: tensor(array[kept]) for name, array in inputs.columns.items()},
        len(kept),
        None if label is None else tensor(label[kept]),
    )
    return msgspec.json.encode(written) + b"\n"


def read_profile(bundle: Bundle) -> Profile | None:
    """The bundle's profile; None where it was packed without a sample. Raises CorruptModel, DigestMismatch."""
    if bundle.manifest.profile is None:
        return None
    try:
        return msgspec.json.decode(verified.read(bundle, bundle.folder / bundle.manifest.profile), type=Profile)
    except msgspec.MsgspecError as error:
        raise CorruptModel(f"the profile of bundle {bundle.name!r} cannot be read: {error}") from error


def read_reference(bundle: Bundle) -> Reference | None:
    """The bundle's reference sample; None where none was kept. Raises CorruptModel, DigestMismatch."""
    if bundle.manifest.reference is None:
        return None
    data = verified.read(bundle, bundle.folder / bundle.manifest.reference)
    try:
        found = msgspec.json.decode(data, type=_Written)
        inputs = Batch({name: written.array() for name, written in found.inputs.items()}, found.rows)
        label = None if found.label is None else found.label.array()
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
        raise CorruptModel(f"the reference sample of bundle {bundle.name!r} cannot be read: {error}") from error
    if faults := bundle.signature.check(inputs):
        told = "; ".join(map(str, faults))
        raise CorruptModel(f"the reference sample of bundle {bundle.name!r} breaks its signature: {told}")
    return Reference(inputs, label)
