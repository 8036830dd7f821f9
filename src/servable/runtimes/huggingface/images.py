"""Classifiers of pictures. A picture is its pixels: rows, columns, and red, green and blue from 0 to 255."""

from __future__ import annotations

from typing import Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.runtimes.classes import LABEL, PROBABILITIES, softmax
from servable.runtimes.huggingface.folder import Folder
from servable.runtimes.huggingface.task import Ask, Loaded, Task

TOGETHER: Final = 8


def _classifies(loaded: Loaded, folder: Folder) -> Ask:
    def ask(batch: Batch) -> dict[str, Array]:
        pictures = batch.columns["image"]
        numbers = np.concatenate(
            [_numbers(loaded, pictures[at : at + TOGETHER]) for at in range(0, len(pictures), TOGETHER)]
        )
        if folder.several:
            return {PROBABILITIES: (1 / (1 + np.exp(-numbers))).astype(np.float32)}
        return {LABEL: np.array(folder.labels, object)[numbers.argmax(axis=1)], PROBABILITIES: softmax(numbers)}

    return ask


def _numbers(loaded: Loaded, pictures: Array) -> Array:
    from PIL import Image

    given = loaded.prepare(images=[Image.fromarray(picture) for picture in pictures], return_tensors="pt")
    with loaded.torch.inference_mode():
        return np.asarray(loaded.model(**given).logits.float().numpy())


def _fields(folder: Folder) -> tuple[Field, ...]:
    shares = Field(PROBABILITIES, "FP32", (-1, len(folder.labels)), folder.labels, values="any")
    return (shares,) if folder.several else (Field(LABEL, "BYTES"), shares)


TASKS: Final = {
    "image-classification": Task(
        "AutoModelForImageClassification",
        (Field("image", "UINT8", (-1, -1, -1, 3)),),
        _fields,
        _classifies,
        pictures=True,
    )
}
