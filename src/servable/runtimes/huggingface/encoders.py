"""Classifiers of text, and models that embed it. Texts of about the same length are computed together."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.runtimes.classes import LABEL, PREDICTION, PROBABILITIES, softmax
from servable.runtimes.huggingface.folder import Folder
from servable.runtimes.huggingface.task import Ask, Loaded, Task, texts

TEXT: Final = "text"
EMBEDDING: Final = "embedding"
TOKENS: Final = "tokens"
TOGETHER: Final = 32
"""Texts of one call of the model: they are padded to the longest among them."""


def _reads(loaded: Loaded, folder: Folder) -> Ask:
    def ask(batch: Batch) -> dict[str, Array]:
        numbers, counts = _sorted(loaded, folder, texts(batch, TEXT))
        return answers(folder, numbers) | {TOKENS: counts}

    return ask


def _sorted(loaded: Loaded, folder: Folder, rows: list[str]) -> tuple[Array, Array]:
    """The model's numbers, and how many tokens were read, in the order of the texts."""
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
    parts, counts = [], []
    for start in range(0, len(order), TOGETHER):
        some, count = _together(loaded, folder, [rows[at] for at in order[start : start + TOGETHER]])
        parts.append(some)
        counts.append(count)
    back = np.argsort(order)
    return np.concatenate(parts)[back], np.concatenate(counts)[back]


def _together(loaded: Loaded, folder: Folder, rows: list[str]) -> tuple[Array, Array]:
    longest = {"max_length": folder.longest} if folder.longest else {}
    given = loaded.prepare(rows, padding=True, truncation=bool(longest), return_tensors="pt", **longest)
    with loaded.torch.inference_mode():
        answer = loaded.model(**given)
        mask = given["attention_mask"]
        embeds = folder.task == "feature-extraction"
        found = pooled(loaded.torch, folder, answer.last_hidden_state, mask) if embeds else answer.logits
    return np.asarray(found.float().numpy()), np.asarray(mask.sum(1).numpy(), np.int64)


def pooled(torch: Any, folder: Folder, states: Any, mask: Any) -> Any:
    """One vector a text from those of its tokens [texts, tokens, width]; padding does not count."""
    wide = mask.unsqueeze(-1).to(states.dtype)
    if folder.pooling == "cls":
        found = states[:, 0]
    elif folder.pooling == "max":
        found = states.masked_fill(wide == 0, -float("inf")).amax(1)
    else:
        found = (states * wide).sum(1) / wide.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(found, dim=1) if folder.normalize else found


def answers(folder: Folder, numbers: Array) -> dict[str, Array]:
    """Outputs from the model's numbers [texts, n]."""
    if not folder.labels:
        return {EMBEDDING: numbers}
    if len(folder.labels) == 1:
        return {PREDICTION: numbers[:, 0]}
    if folder.several:
        return {PROBABILITIES: (1 / (1 + np.exp(-numbers))).astype(np.float32)}
    names = np.array(folder.labels, object)
    return {LABEL: names[numbers.argmax(axis=1)], PROBABILITIES: softmax(numbers)}


def _class_fields(folder: Folder) -> tuple[Field, ...]:
    counted = Field(TOKENS, "INT64")
    if len(folder.labels) == 1:
        return Field(PREDICTION, "FP32", values="any"), counted
    shares = Field(PROBABILITIES, "FP32", (-1, len(folder.labels)), folder.labels, values="any")
    return (shares, counted) if folder.several else (Field(LABEL, "BYTES"), shares, counted)


def _vector_fields(folder: Folder) -> tuple[Field, ...]:
    return Field(EMBEDDING, "FP32", (-1, folder.width), values="any"), Field(TOKENS, "INT64")


TASKS: Final = {
    "text-classification": Task("AutoModelForSequenceClassification", (Field(TEXT, "BYTES"),), _class_fields, _reads),
    "feature-extraction": Task("AutoModel", (Field(TEXT, "BYTES"),), _vector_fields, _reads, lacking="pooler."),
}
