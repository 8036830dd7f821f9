"""The tasks that a folder may be for, by the names that transformers gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from servable.runtimes.huggingface import encoders, generation, images, questions, tokens
from servable.runtimes.huggingface.task import Task

TASKS: Final[Mapping[str, Task]] = {
    **encoders.TASKS,
    **tokens.TASKS,
    **questions.TASKS,
    **generation.TASKS,
    **images.TASKS,
}
