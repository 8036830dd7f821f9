"""Rows that were predicted wait for their outcomes: for a stated time, and not too many of them."""

from __future__ import annotations

import numpy as np

from servable.domain.batch import Batch
from servable.online.event import Asked, columns
from servable.online.waiting import Waiting


def asked(time: float, *ids: str) -> Asked:
    return Asked(time, ids, columns(Batch({"x": np.full(len(ids), time)})))


def found(waiting: Waiting, *ids: str) -> list[str]:
    places, batch, _ = waiting.find(ids)
    assert (batch is None) == (not places)
    return [ids[place] for place in places]


def test_an_outcome_that_comes_after_the_window_finds_nothing() -> None:
    waiting = Waiting(60.0)
    waiting.keep(asked(1000.0, "early"))
    waiting.keep(asked(1030.0, "late"))
    waiting.forget(1060.0)
    assert found(waiting, "early", "late", "never") == ["early", "late"]
    waiting.forget(1060.5)
    assert found(waiting, "early", "late") == ["late"]
    waiting.keep(asked(1200.0, "now"))
    assert found(waiting, "early", "late", "now") == ["now"]
    assert len(waiting) == 1


def test_an_id_that_is_asked_again_waits_anew_with_its_newest_row() -> None:
    waiting = Waiting(60.0)
    waiting.keep(asked(1000.0, "a", "b"))
    waiting.keep(asked(1050.0, "a"))
    waiting.forget(1070.0)
    places, batch, _ = waiting.find(["a", "b"])
    assert places == [0]
    assert batch is not None
    assert batch["x"].tolist() == [1050.0]


def test_of_too_many_the_oldest_go() -> None:
    waiting = Waiting(60.0, most=3)
    for time in range(5):
        waiting.keep(asked(float(time), f"row {time}"))
    assert found(waiting, *(f"row {time}" for time in range(5))) == ["row 2", "row 3", "row 4"]
