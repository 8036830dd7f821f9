"""Proof that a candidate answers as the original does: on the sample, and on rows made to find out where it does not.

The original is asked once; each candidate is then held against its answers. What the original itself refuses (a missing
value, an unseen category) becomes a limit of the contract; what it takes, the candidate must take and answer equally.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from servable.bundles.difference import Difference, differences
from servable.bundles.generate import Rows, generate
from servable.bundles.sample import Table, is_frame
from servable.bundles.tables import to_batch
from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, InvalidInput
from servable.runtimes.estimator import one_thread

Ask = Callable[[Table], dict[str, Array]]


class Asked(msgspec.Struct, frozen=True):
    """Rows, and what the original answered; None: it refused them, for this reason."""

    rows: Rows
    answer: Batch | None
    reason: str = ""


class Proof(msgspec.Struct, frozen=True):
    """What was compared: rows by kind, and the largest difference of each output."""

    rows: dict[str, int]
    largest: dict[str, float]

    def __str__(self) -> str:
        total = sum(self.rows.values())
        gaps = ", ".join(f"{name} {gap:.2g}" for name, gap in self.largest.items())
        return f"equal on {total} rows ({', '.join(self.rows)}); largest differences: {gaps}"


def ask(original: Ask, table: Table) -> list[Asked]:
    """The original's answers to the sample and to everything generated from it. Raises whatever it raises on the
    sample.
    """
    asked = []
    with warnings.catch_warnings(), np.errstate(all="ignore"), one_thread():
        warnings.simplefilter("ignore")
        for rows in generate(table):
            try:
                asked.append(Asked(rows, Batch(original(rows.table), len(rows.table))))
            except Exception as error:  # a wall: a model may raise anything for a value it does not take
                if rows.kind == "sample":
                    raise
                asked.append(Asked(rows, None, str(error)))
    return asked


def refused(asked: Sequence[Asked], kind: str) -> set[str | int]:
    """The columns in which the original refuses a value of this kind."""
    return {
        each.rows.column
        for each in asked
        if each.rows.kind == kind and each.answer is None and each.rows.column is not None
    }


def contract(inputs: tuple[Field, ...], asked: Sequence[Asked], known: dict[str, tuple[str, ...]]) -> tuple[Field, ...]:
    """The inputs with what the original taught: where a value may be missing, and categories where it takes no
    others.
    """
    takes = {each.rows.column for each in asked if each.rows.kind == "missing" and each.answer is not None}
    strict = refused(asked, "unseen")
    fields = []
    for field in inputs:
        columns = field.features or (
            (field.name,) if len(inputs) > 1 or field.name in takes else range(field.shape[-1])
        )
        changes: dict[str, Any] = {}
        if field.values == "finite" and field.datatype in {"FP32", "FP64", "BYTES"} and set(columns) <= takes:
            changes["values"] = "missing"
        if field.name in strict and field.name in known:
            changes["categories"] = known[field.name]
        fields.append(msgspec.structs.replace(field, **changes))
    return tuple(fields)


def prove(
    candidate: Callable[[Batch], Batch], inputs: tuple[Field, ...], asked: Sequence[Asked]
) -> tuple[Proof, tuple[Field, ...]]:
    """Hold the candidate against the original. Raises ConversionRejected that says on which rows they part.

    Rows that the contract of `inputs` refuses are not asked: nobody can send them. A missing value that the sample
    never had, and that the two treat differently, is no reason to reject: the contract then refuses it. Returns the
    proof, and the inputs with that.
    """
    proof = Proof({}, {})
    seen = _missing_in_sample(asked)
    for each in sorted(asked, key=lambda one: one.rows.kind != "missing"):
        batch = _sendable(each, Signature(inputs, ()))
        if batch is None or each.answer is None:
            continue
        try:
            found = candidate(batch)
            parts = differences(each.answer, found)
            wrong = "; ".join(str(part) for part in parts if part.count)
        except Exception as error:  # noqa: BLE001 - a wall: the candidate's library may raise anything
            parts, wrong = (), f"it fails: {error}"
        if not wrong:
            _note(proof, parts, each)
        elif each.rows.kind == "missing" and each.rows.column not in seen:
            inputs = tuple(_never_missing(field, each.rows.column) for field in inputs)
        else:
            raise ConversionRejected(f"it differs on {_named(each.rows)} rows: {wrong}")
    return proof, inputs


def _missing_in_sample(asked: Sequence[Asked]) -> set[str | int]:
    """The columns in which the sample has missing values."""
    table = asked[0].rows.table
    if is_frame(table):
        return {name for name in table.columns if table[name].isna().any()}
    return set(np.flatnonzero(np.isnan(table).any(axis=0)).tolist())


def _never_missing(field: Field, column: str | int | None) -> Field:
    """The field without missing values, if the column is in it."""
    holds = column in field.features or column == field.name or isinstance(column, int)
    return msgspec.structs.replace(field, values="finite") if holds else field


def sendable(asked: Sequence[Asked], signature: Signature) -> list[tuple[str, Batch]]:
    """The rows that the contract takes and the original answered, by kind: what golden rows are chosen from."""
    found = [(each.rows.kind, _sendable(each, signature)) for each in asked if each.answer is not None]
    return [(kind, batch) for kind, batch in found if batch is not None]


def _sendable(each: Asked, signature: Signature) -> Batch | None:
    """The rows as a client sends them; None where the contract refuses them."""
    try:
        batch = to_batch(each.rows.table, signature)
    except InvalidInput:
        return None
    return None if signature.check(batch) else batch


def _note(proof: Proof, parts: Sequence[Difference], each: Asked) -> None:
    proof.rows[each.rows.kind] = proof.rows.get(each.rows.kind, 0) + len(each.rows.table)
    for part in parts:
        proof.largest[part.output] = max(proof.largest.get(part.output, 0.0), part.largest)


def _named(rows: Rows) -> str:
    return rows.kind if rows.column is None else f"{rows.kind} (column {rows.column!r})"
