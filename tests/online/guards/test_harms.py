"""The table of what the guards do on streams that nobody tuned them on is what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.online.guards.harms import LEARNERS, STREAMS, row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

PAGE: Final = Path(__file__).parents[3] / "docs" / "decisions" / "guards.md"


@pytest.mark.parametrize("model", LEARNERS)
@pytest.mark.parametrize("stream", STREAMS)
def test_a_row_of_the_page_is_what_is_measured(stream: str, model: str) -> None:
    assert row(stream, model) in PAGE.read_text().splitlines()
