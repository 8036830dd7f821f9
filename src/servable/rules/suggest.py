"""Suggests rules from what the training data looked like: bounds, categories, values that were never missing, distance.

They only flag: what a value outside of all that was seen should lead to is for people to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from servable.domain.columns import column_names
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field
from servable.domain.profile import Column, Profile
from servable.domain.ref import NAME
from servable.domain.rule import Rule
from servable.domain.signature import Signature


def suggest(profile: Profile, signature: Signature, *, sampled: int = 0) -> tuple[Rule, ...]:
    """Rules that the training data itself would not have met, or hardly. `sampled`: rows that the bundle keeps, which a
    distance is fitted to.
    """
    rules: dict[str, Rule] = {}
    for field in signature.inputs:
        for name in column_names(field):
            column = profile.columns.get(name)
            if column is not None:
                for rule in _of_column(name, column, field):
                    rules.setdefault(rule.name, rule)
    within = next((share for share in (0.99, 0.95) if sampled // 2 * (1 - share) >= share), None)
    if within is not None and profile.columns:
        reason = f"farther from the training data than {within:.0%} of it"
        rules["near-training-data"] = Rule(
            "near-training-data", reason=reason, distance="mahalanobis", within=within, severity="warning"
        )
    return tuple(rules.values())


def _of_column(name: str, column: Column, field: Field) -> Iterator[Rule]:
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:100]
    slug = slug if NAME.fullmatch(slug) else f"column-{slug}".rstrip("-")
    if column.kind == "numeric" and column.minimum is not None and column.maximum is not None:
        reason = f"{name} was between {column.minimum:g} and {column.maximum:g} in the training data"
        yield Rule(f"{slug}-range", reason=reason, column=name, low=column.minimum, high=column.maximum)
    if column.kind == "categorical" and field.datatype == "BYTES" and not column.other and not field.categories:
        reason = f"{name} had {len(column.frequencies)} values in the training data"
        yield Rule(f"{slug}-known", reason=reason, column=name, allowed=tuple(sorted(column.frequencies)))
    if not column.missing and column.count and field.values != "finite" and field.datatype in FLOATS | {"BYTES"}:
        yield Rule(
            f"{slug}-present", reason=f"{name} was never missing in the training data", column=name, present=True
        )
