"""Field: one named input or output of a model, and the judge of a single array against it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.domain.datatypes import DTYPES, FLOATS, INTEGERS, datatype_of

MAX_ROWS_NAMED: Final = 5
"""A fault names at most this many rows: enough to find the cause, short enough to read."""


YEAR_DIGITS: Final = 4
SHORT: Final = 128
"""Values up to which Python's floats are faster than numpy's call."""


class Fault(msgspec.Struct, frozen=True):
    """One way in which a batch breaks a signature: where, what was expected, what came."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.field!r}: expected {self.expected}, got {self.got}"


class Field(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Name, datatype and shape, and what is known of the values.

    `shape` holds -1 where any size is taken; in a batched signature its first axis is the rows.
    `features` names the positions along the last axis, so that `{"rows": [{feature: value}]}` can fill one matrix.
    `values`: `finite` refuses NaN, infinity and null; `missing` takes NaN or null (and an absent column); `any`
    takes all.
    `low`, `high` and `categories` are hard limits: what is outside is refused. What was merely *seen* in training is
    not declared here.
    `content="date"` marks BYTES that hold ISO 8601 dates or times; `"id"` those that the engine fills with the id of
    the prediction, where the caller leaves them out; `"target"` what a learner is to learn: no model is shown it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)
    features: tuple[str, ...] = ()
    values: Literal["finite", "missing", "any"] = "finite"
    low: float | None = None
    high: float | None = None
    categories: tuple[str | int, ...] = ()
    content: Literal["", "date", "id", "target"] = ""

    def __post_init__(self) -> None:
        if self.datatype not in DTYPES:
            raise ValueError(f"field {self.name!r}: datatype {self.datatype!r} is not one of {', '.join(DTYPES)}")
        if any(size < -1 for size in self.shape):
            raise ValueError(f"field {self.name!r}: shape {list(self.shape)} has a size below -1")
        if self.features and (not self.shape or self.shape[-1] != len(self.features)):
            raise ValueError(
                f"field {self.name!r}: {len(self.features)} features are named, but the last axis of "
                f"{list(self.shape)} is not {len(self.features)} long"
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype that holds this field."""
        return DTYPES[self.datatype]

    def describe(self) -> str:
        """Datatype and shape as people write them: `FP32 [-1, 30]`."""
        return f"{self.datatype} {list(self.shape)}"

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape is one of ours."""
        if len(shape) != len(self.shape):
            return False
        for want, size in zip(self.shape, shape, strict=True):  # noqa: SIM110 - `all` takes three times as long here
            if want not in (-1, size):
                return False
        return True

    def faults(self, array: Array) -> Iterator[Fault]:
        """Every fault of one array: datatype, shape, then values."""
        if array.dtype != self.dtype:
            yield Fault(self.name, self.describe(), f"{datatype_of(array.dtype)} {list(array.shape)}")
        elif not self.fits(array.shape):
            yield Fault(self.name, f"shape {list(self.shape)}", f"shape {list(array.shape)}")
        elif array.size:
            yield from self.value_faults(array)

    def value_faults(self, array: Array) -> Iterator[Fault]:
        """Faults of the values of an array whose datatype and shape are right."""
        for bad, expected in self.marks(array):
            yield self._fault(array, bad, expected)

    def marks(self, array: Array) -> Iterator[tuple[Array, str]]:
        """The same as masks of the bad values, each with what was expected: whoever sorts out rows looks at these."""
        known = array
        if self.datatype in FLOATS:
            if self.values != "any" and not all_finite(array):
                bad = ~np.isfinite(array) if self.values == "finite" else np.isinf(array)
                if bad.any():
                    yield bad, "finite numbers" if self.values == "finite" else "finite or missing numbers"
        elif self.datatype == "BYTES":
            absent = _absent(array)
            if absent.any():
                if self.values == "finite":
                    yield absent, "text, and no nulls"
                known = array[~absent]
            if self.content == "date" and not _all_dates(known):
                dated = np.asarray(np.frompyfunc(_is_date, 1, 1)(array), bool)
                yield ~(absent | dated), "ISO 8601 dates"
        if self.datatype in FLOATS | INTEGERS:
            if self.low is not None and (under := (array < self.low) & np.isfinite(array)).any():
                yield under, f"at least {self.low:g}"
            if self.high is not None and (over := (array > self.high) & np.isfinite(array)).any():
                yield over, f"at most {self.high:g}"
        if self.categories and known.size:
            unknown = np.isin(array.astype(str), [str(category) for category in self.categories], invert=True)
            if self.datatype == "BYTES":
                unknown &= ~_absent(array)
            if unknown.any():
                shown = ", ".join(map(str, self.categories[:20])) + (", …" if len(self.categories) > 20 else "")
                yield unknown, f"one of {shown}"

    def _fault(self, array: Array, bad: Array, expected: str) -> Fault:
        """A fault that names the first bad value and the rows that hold one."""
        where = np.argwhere(bad)
        value = array[tuple(where[0])]
        if array.ndim == 0:
            return Fault(self.name, expected, str(value))
        rows = np.unique(where[:, 0])
        named = ", ".join(map(str, rows[:MAX_ROWS_NAMED].tolist())) + (", …" if len(rows) > MAX_ROWS_NAMED else "")
        feature = ""
        if self.features and array.ndim > 1:
            feature = f" in feature {self.features[where[0][-1]]!r}"
        return Fault(self.name, expected, f"{value}{feature} (row{'s' if len(rows) > 1 else ''} {named})")


def all_finite(array: Array) -> bool:
    """Whether a float array is free of NaN and infinity.

    A short one is summed as Python floats first, at a third of the time: the sum is finite unless a value is not, or
    the values are huge; then the exact test decides.
    """
    if array.size <= SHORT and math.isfinite(sum(array.ravel().tolist())):
        return True
    return bool(np.isfinite(array).all())


def _absent(array: Array) -> Array:
    """Where an array of texts holds None."""
    return np.asarray(np.frompyfunc(lambda value: value is None, 1, 1)(array), bool)


def _is_date(text: object) -> bool:
    """As numpy reads it; but digits alone are a year of four: not seconds since 1970, nor a day, as some read them."""
    plain = str(text).removesuffix("Z")
    try:
        np.datetime64(plain)
    except ValueError:
        return False
    return text is not None and (len(digits := plain.lstrip("+-")) == YEAR_DIGITS or not digits.isdigit())


def _all_dates(known: Array) -> bool:
    return all(_is_date(text) for text in known.ravel())
