"""The detectors: at the very steps that River tells, on its documented streams and on others."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from river import drift
from river.drift import binary

from servable.statistics.detectors.adwin import Adwin
from servable.statistics.detectors.hddm import HddmW
from servable.statistics.detectors.page_hinkley import PageHinkley


def levels() -> list[float]:
    source = random.Random(12345)
    return source.choices([0, 1], k=1000) + source.choices(range(4, 8), k=1000)


def errors(seed: int, rates: Sequence[float], rows: int = 1000) -> list[float]:
    source = random.Random(seed)
    return [float(source.random() < rate) for rate in rates for _ in range(rows)]


def told(detector: Any, values: Sequence[float]) -> list[int]:
    return [place for place, value in enumerate(values) if detector.see(value)]


def river_told(detector: Any, values: Sequence[float]) -> list[int]:
    found = []
    for place, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(place)
    return found


def test_the_documented_streams() -> None:
    assert told(Adwin(), levels())[0] == 1023
    assert told(PageHinkley(), levels())[0] == 1006
    source = random.Random(42)
    values = source.choices([0, 1], k=1000) + source.choices([0, 1], k=1000, weights=[0.3, 0.7])
    hddm = HddmW()
    warned = []
    for place, value in enumerate(values):
        if hddm.see(value):
            assert (warned[0], place) == (451, 1077)
            break
        if hddm.warned:
            warned.append(place)


@pytest.mark.parametrize(("ours", "rivers"), [(PageHinkley, drift.PageHinkley), (HddmW, binary.HDDMW)])
def test_other_streams(ours: Callable[[], Any], rivers: Callable[[], Any]) -> None:
    for seed in range(4):
        values = errors(seed, [0.2, 0.5, 0.1, 0.15])
        assert told(ours(), values)[:1] == river_told(rivers(), values)[:1]
