from __future__ import annotations

import pytest

from tests.cli.command import servable
from tests.packed import scaler


@pytest.fixture
def batch(tmp_path):
    """`servable batch` with a model that doubles two columns."""
    model = scaler(tmp_path / "scaler.onnx")

    def run(*words, home=None, code=0, ref=model, **options):
        ended = servable("batch", ref, *words, "--home", home or tmp_path / "home", "--json", "--workers", 1, **options)
        assert ended.code == code, ended
        return ended.json

    return run
