"""The tables of what the guards do, on streams that they were chosen on and on others, are what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.online.guards.harms import LEARNERS, STREAMS, row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

PAGE: Final = Path(__file__).parents[3] / "docs" / "decisions" / "guards.md"
ROWS: Final = [
    line for line in PAGE.read_text().splitlines() if line.startswith("| ") and line.split(" | ")[0][2:] in STREAMS
]


@pytest.mark.parametrize("line", ROWS, ids=[" ".join(line.split(" | ")[:2])[2:] for line in ROWS])
def test_a_row_of_the_page_is_what_is_measured(line: str) -> None:
    stream, model = line[2:].split(" | ")[:2]
    assert model in LEARNERS
    assert row(stream, model) == line
