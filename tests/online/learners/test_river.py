"""River's own figures, to the digit: its bundled streams, test then train, with and without the guards."""

from __future__ import annotations

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.online.guards.guarded import Guarded
from tests.online.streams import MODELS, NO_CHANGE, PUBLISHED, alone, learner, stream

SLOW = pytest.mark.faults
ROWS = [
    pytest.param(name, model, marks=() if name == "phishing" and model != "adaptive forest" else SLOW)
    for name in NO_CHANGE
    for model in MODELS
]


@pytest.mark.parametrize(("name", "model"), ROWS)
def test_a_stream_is_what_river_measures_and_the_guards_change_nothing(name: str, model: str) -> None:
    events = stream(name)
    guarded = Guarded(learner(events, model), learner(events, model))
    for row in range(len(events.y)):
        guarded.learn(events.batch(row), events.y[row : row + 1])
    told = guarded.scores.report()["all"]
    assert round(told["accuracy"], 4) == PUBLISHED[name][model]
    assert round(1.0 - told["no_change_loss"], 4) == NO_CHANGE[name]
    assert (guarded.tally.falls, guarded.undone) == (0, {})


@pytest.mark.parametrize("delay", [48, 336])
@pytest.mark.parametrize("model", ["scaled regression", "Hoeffding tree"])
def test_with_labels_that_come_later_it_is_what_river_alone_gives(model: str, delay: int) -> None:
    events, own = stream("phishing"), alone(model)
    guarded = Guarded(learner(events, model), learner(events, model))
    answers, expected = [], []
    for row in range(len(events.y)):
        answers += guarded.predict(events.batch(row))["label"].tolist()
        named = dict(zip(events.names, events.x[row].tolist(), strict=True))
        expected.append(int(own.predict_one(named) or 0))
        if row >= delay:
            late = row - delay
            guarded.learn(events.batch(late), events.y[late : late + 1])
            own.learn_one(dict(zip(events.names, events.x[late].tolist(), strict=True)), int(events.y[late]))
    assert answers == expected
    assert guarded.tally.falls == 0


def test_a_nan_kills_a_model_of_river_without_a_word_and_is_kept_from_it() -> None:
    """What the guards are for: the model takes it, and never answers a number again."""
    events, own = stream("phishing"), alone("scaled regression")
    rows = range(300)
    for row in rows:
        own.learn_one(dict(enumerate(events.x[row].tolist())), int(events.y[row]))
    own.learn_one(dict.fromkeys(range(9), np.nan), 1)
    assert np.isnan(own.predict_proba_one(dict.fromkeys(range(9), 0.5))[True])

    guarded = Guarded(learner(events, "scaled regression"), learner(events, "scaled regression"))
    for row in rows:
        guarded.learn(events.batch(row), events.y[row : row + 1])
    guarded.learn(Batch({name: np.array([np.nan]) for name in events.names}), np.array([1]))
    for row in [*rows, *rows]:
        guarded.learn(events.batch(row), events.y[row : row + 1])
    assert sum(guarded.undone.values()) == 1
    assert np.isfinite(guarded.predict(events.batch(0))["probabilities"]).all()
