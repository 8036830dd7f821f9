from math import inf

import pytest

from servable.engine.policy import LARGEST, CostCurve, Crowd, admit, cap_of, wait_s

FLAT = CostCurve([(1, 0.001), (8, 0.001), (32, 0.001), (128, 0.001)])
LINEAR = CostCurve([(1, 0.001), (8, 0.008), (32, 0.032), (128, 0.128)])


@pytest.mark.parametrize(
    ("curve", "batched", "cap"),
    [
        (FLAT, True, LARGEST),
        (FLAT, False, 1),
        (LINEAR, True, 1),
        (CostCurve([(1, 0.001), (8, 0.002), (32, 0.0081), (128, 0.033)]), True, 8),
        (CostCurve([(1, 0.300)]), True, 1),
        # Small trees, as they were measured three times: the last point is a matter of luck, the cap is not.
        (CostCurve([(1, 6.5e-6), (8, 13e-6), (32, 32.3e-6), (128, 112.0e-6)]), True, LARGEST),
        (CostCurve([(1, 6.6e-6), (8, 12.8e-6), (32, 32.7e-6), (128, 126.7e-6)]), True, LARGEST),
        (CostCurve([(1, 12.6e-6), (8, 21.2e-6), (32, 52.0e-6), (128, 208.7e-6)]), True, LARGEST),
    ],
)
def test_the_cap_is_where_rows_a_second_stop_rising(curve: CostCurve, batched: bool, cap: int) -> None:
    assert cap_of(curve, batched=batched) == cap


@pytest.mark.parametrize(
    ("waiting", "rows_waiting", "rows", "busy_s", "left_s", "admitted"),
    [
        (0, 0, 1, 0.0, inf, True),
        (99, 99, 1, 0.0, inf, True),
        (100, 100, 1, 0.0, inf, False),  # the queue is full
        (10, 10, 1, 0.0, 0.012, True),  # ten calls and its own: 11 ms
        (10, 10, 1, 0.0, 0.010, False),
        (0, 0, 1, 0.005, 0.003, False),  # the call that runs now is longer
        (0, 0, 1, 0.0, 0.0001, True),  # idle: the estimate may be wrong, and learns
    ],
)
def test_who_is_let_in(
    waiting: int, rows_waiting: int, rows: int, busy_s: float, left_s: float, admitted: bool
) -> None:
    refusal = admit(Crowd(waiting, rows_waiting, busy_s), 100, rows, left_s, 1, LINEAR)
    assert (refusal is None) is admitted
    if refusal is not None:
        assert refusal.retry_after_s > 0


def test_the_wait_is_counted_in_batches() -> None:
    assert wait_s(300, 128, FLAT) == pytest.approx(0.003)
    assert wait_s(0, 128, FLAT) == 0.0
    assert wait_s(5, 1, LINEAR) == pytest.approx(0.005)


def test_noise_hardly_moves_the_curve_and_a_slower_model_does() -> None:
    curve = CostCurve([(1, 0.001)])
    for number in range(1000):
        curve.observe(1, 0.050 if number % 20 == 0 else 0.001)
    assert curve.seconds(1) < 0.0011
    for _ in range(500):
        curve.observe(1, 0.004)
    assert curve.seconds(1) == pytest.approx(0.004, rel=0.05)


def test_beyond_the_last_point_rows_cost_what_they_cost_there() -> None:
    assert LINEAR.seconds(256) == pytest.approx(0.256)
