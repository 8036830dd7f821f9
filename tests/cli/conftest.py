from __future__ import annotations

import pytest

from tests.cli.command import Command


@pytest.fixture
def command(tmp_path, capsys) -> Command:
    return Command(tmp_path / "home", capsys)
