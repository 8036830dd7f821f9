"""Whom the door waits for no longer, as a table."""

import pytest

from servable.server.http.policy import Patience, Phase, patience
from servable.settings import Settings

SETTINGS = Settings(receive_timeout_s=10.0, min_receive_rate=100, keep_alive_s=75.0, write_timeout_s=30.0)


@pytest.mark.parametrize(
    ("phase", "draining", "expected"),
    [
        (Phase(None, 0, 74.0, 0.0), False, Patience.WAIT),
        (Phase(None, 0, 76.0, 0.0), False, Patience.CLOSE),
        (Phase(None, 0, 2.0, 0.0), True, Patience.CLOSE),
        (Phase(None, 0, 0.5, 0.0), True, Patience.WAIT),
        (Phase(None, 0, None, 0.0), True, Patience.WAIT),
        (Phase(9.0, 0, None, 0.0), False, Patience.WAIT),
        (Phase(11.0, 0, None, 0.0), False, Patience.REFUSE),
        (Phase(11.0, 1099, None, 0.0), False, Patience.REFUSE),
        (Phase(11.0, 1100, None, 0.0), False, Patience.WAIT),
        (Phase(1000.0, 100_000, 1000.0, 0.0), True, Patience.WAIT),
        (Phase(None, 0, None, 31.0), False, Patience.ABORT),
        (Phase(11.0, 0, None, 31.0), False, Patience.ABORT),
        (Phase(None, 0, None, 29.0), False, Patience.WAIT),
    ],
)
def test_patience(phase: Phase, draining: bool, expected: Patience) -> None:
    assert patience(phase, SETTINGS, draining=draining) is expected
