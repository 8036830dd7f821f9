"""Proof that a converted network answers as the original does: on the sample, and on tensors made to find out where it
does not: random, zero, extreme, missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from servable.bundles.difference import ABSOLUTE, RELATIVE, Difference, differences
from servable.bundles.prove import Proof
from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.signature import Signature
from servable.errors import ConversionRejected

ROWS: Final = 16
SIZE: Final = 16
"""Of axes that may have any size."""
FAR: Final = 1e3
"""An extreme is this far from zero: networks are fed numbers around one."""


def prove(original: Model, candidate: Model, signature: Signature, sample: Batch | None) -> tuple[Proof, Signature]:
    """Hold the candidate against the original. Raises ConversionRejected that says on which rows they part.

    What the original refuses is not asked. Missing numbers that the two treat differently are no reason to reject: the
    contract, which comes back with the proof, then refuses them.
    """
    proof, asked = Proof({}, {}), 0
    for kind, rows in _rows(signature, sample):
        try:
            expected = original.predict(rows)
        except Exception as error:
            if kind == "sample":
                raise ConversionRejected(f"the model does not answer its own sample: {error}") from error
            continue
        asked += 1
        try:
            found = candidate.predict(rows)
            parts = _compared(expected, found)
            wrong = "; ".join(str(part) for part in parts if part.count) or _relabelled(expected, found)
        except Exception as error:  # noqa: BLE001 - a wall: the candidate's library may raise anything
            parts, wrong = (), f"it fails: {error}"
        if wrong and kind == "missing":
            inputs = tuple(msgspec.structs.replace(field, values="finite") for field in signature.inputs)
            signature = msgspec.structs.replace(signature, inputs=inputs)
        elif wrong:
            raise ConversionRejected(f"converted to ONNX, it differs on {kind} rows: {wrong}")
        else:
            proof.rows[kind] = rows.rows
            for part in parts:
                proof.largest[part.output] = max(proof.largest.get(part.output, 0.0), part.largest)
    if not asked:
        raise ConversionRejected("the model answers none of the rows made to compare it: give a sample")
    return proof, signature


def _compared(expected: Batch, found: Batch) -> tuple[Difference, ...]:
    """Floats are equal within the rounding of float32 at the scale of their output: sums of many cancel each other."""
    parts: list[Difference] = []
    for name, array in expected.columns.items():
        scale = 0.0
        if array.dtype.kind == "f" and array.size:
            scale = float(np.nanmax(np.abs(np.nan_to_num(array.astype(np.float64), posinf=0.0, neginf=0.0))))
        one, other = (Batch({name: batch[name]}, batch.rows) for batch in (expected, found))
        parts.extend(differences(one, other, RELATIVE, ABSOLUTE + RELATIVE * scale))
    return tuple(parts)


def _relabelled(expected: Batch, found: Batch) -> str:
    """Which output has its largest value elsewhere: its label would be another one. Empty: none."""
    for name, array in expected.columns.items():
        if array.dtype.kind != "f" or array.ndim < 2 or array.shape[-1] < 2 or np.isnan(array).any():
            continue
        chosen = found[name].argmax(axis=-1)[..., None]
        behind = array.max(axis=-1) - np.take_along_axis(array, chosen, axis=-1)[..., 0]
        if (behind > ABSOLUTE).any():
            return f"{name}: the largest value is another one in {int((behind > ABSOLUTE).sum())} places"
    return ""


def _rows(signature: Signature, sample: Batch | None) -> Iterator[tuple[str, Batch]]:
    if sample is not None:
        yield "sample", sample
    random = np.random.default_rng(0)
    for kind in ("random", "zero", "extreme", "missing"):
        columns = {field.name: _values(field, kind, random, batched=signature.batched) for field in signature.inputs}
        if kind == "missing" and not any(array.dtype.kind == "f" for array in columns.values()):
            return
        yield kind, Batch(columns, ROWS if signature.batched else 1)


def _values(field: Field, kind: str, random: np.random.Generator, *, batched: bool) -> Array:
    shape = tuple(SIZE if size == -1 else size for size in field.shape)
    shape = (ROWS, *shape[1:]) if batched else shape
    if field.datatype == "BYTES":
        return np.full(shape, "" if kind == "zero" else "text", object)
    if field.datatype not in FLOATS:
        return np.asarray(random.integers(0, 1 if kind == "zero" else 2, shape), field.dtype)
    values = random.standard_normal(shape)
    if kind == "zero":
        values[:] = 0
    elif kind == "extreme":
        values = np.where(random.random(shape) < 0.1, np.sign(values) * FAR, values)
    elif kind == "missing" and field.values != "finite":
        values[random.random(shape) < 0.1] = np.nan
    return np.asarray(values, field.dtype)
