"""What the training data suggests: rules that it would not have met itself."""

from __future__ import annotations

import numpy as np

from servable.bundles.profile import profile_of
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.profile import Profile
from servable.domain.signature import Signature
from servable.rules.guard import Guard
from servable.rules.suggest import suggest

SIGNATURE = Signature(
    (
        Field("input", "FP32", (-1, 2), ("age", "loan amount (€)"), values="missing"),
        Field("region", "BYTES", (-1, 1)),
        Field("note", "BYTES", (-1, 1)),
    ),
    (Field("price", "FP32"),),
)


def _seen() -> Batch:
    random = np.random.default_rng(0)
    numbers = np.column_stack([random.normal(40, 5, 300), random.normal(1000, 300, 300)]).astype(np.float32)
    numbers[7, 1] = np.nan
    regions = random.choice(np.array(["north", "south"], object), (300, 1))
    notes = np.array([[f"note {at}"] for at in range(300)], object)
    return Batch({"input": numbers, "region": regions, "note": notes})


def test_bounds_categories_gaps_and_distance_follow_from_the_profile() -> None:
    batch = _seen()
    rules = suggest(Profile(300, profile_of(batch, SIGNATURE.inputs)), SIGNATURE, sampled=300)
    assert [(rule.name, rule.judges) for rule in rules] == [
        ("age-range", "bounds"),
        ("age-present", "missing"),
        ("loan-amount-range", "bounds"),
        ("region-known", "categories"),
        ("near-training-data", "distance"),
    ]
    assert {rule.action for rule in rules} == {"flag"}
    assert rules[-1].within == 0.99
    guard = Guard([rule for rule in rules if not rule.distance], SIGNATURE)
    assert guard.judge(batch) == []
    odd = Batch({
        "input": np.array([[200, 5], [40, 1e9]], np.float32), "region": np.array([["west"], ["north"]], object),
        "note": np.array([["x"], ["y"]], object),
    })  # fmt: skip
    assert [(fired.rule.name, fired.rows.tolist()) for fired in guard.judge(odd)] == [
        ("age-range", [0]),
        ("loan-amount-range", [1]),
        ("region-known", [0]),
    ]


def test_a_small_sample_gives_a_wider_limit_and_a_tiny_one_no_distance() -> None:
    profile = Profile(300, profile_of(_seen(), SIGNATURE.inputs))
    assert suggest(profile, SIGNATURE, sampled=60)[-1].within == 0.95
    assert not any(rule.distance for rule in suggest(profile, SIGNATURE, sampled=20))
    assert suggest(Profile(0, {}), SIGNATURE, sampled=300) == ()
