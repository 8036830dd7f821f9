"""Two inputs a row: a question and the text that holds its answer; a text and the labels that it may have."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.errors import IncompatibleModel, InvalidInput
from servable.runtimes.huggingface.folder import Folder
from servable.runtimes.huggingface.task import Ask, Loaded, Task, texts
from servable.runtimes.huggingface.tokens import as_json

WINDOW: Final = 384
"""Tokens of question and text that are read together; a longer text is read in windows that overlap."""
OVERLAP: Final = 128
LONGEST: Final = 15
"""Tokens of an answer."""
TEMPLATE: Final = "This example is {}."


def _answers(loaded: Loaded, _: Folder) -> Ask:
    """Option `longest`: the most tokens of an answer."""
    longest = int(loaded.options.get("longest", LONGEST))

    def ask(batch: Batch) -> dict[str, Array]:
        pairs = zip(texts(batch, "question"), texts(batch, "context"), strict=True)
        scores, starts, ends, answers = zip(*(_answer(loaded, *pair, longest) for pair in pairs), strict=True)
        return {
            "answer": np.array(answers, object),
            "score": np.array(scores, np.float32),
            "start": np.array(starts, np.int64),
            "end": np.array(ends, np.int64),
        }

    return ask


def _answer(loaded: Loaded, question: str, context: str, longest: int) -> tuple[float, int, int, str]:
    """The likeliest span of the context: the highest product of the shares of its first and its last token among the
    tokens of their window. Its score, where it starts and ends, and its text.
    """
    window = min(loaded.prepare.model_max_length, WINDOW)
    given = loaded.prepare(
        question, context, truncation="only_second", max_length=window, stride=min(window // 4, OVERLAP),
        return_overflowing_tokens=True, return_offsets_mapping=True, padding=True, return_tensors="pt",
    )  # fmt: skip
    places = given.pop("offset_mapping").numpy()
    given.pop("overflow_to_sample_mapping", None)
    with loaded.torch.inference_mode():
        found = loaded.model(**given)
    best = (0.0, 0, 0, "")
    for at, spans in enumerate(places):
        inside = np.array([part == 1 for part in given.sequence_ids(at)])
        if not inside.any():
            continue
        first, last = (_shares(numbers[at], inside) for numbers in (found.start_logits, found.end_logits))
        products = np.tril(np.triu(np.outer(first, last)), longest - 1)
        start, end = np.unravel_index(products.argmax(), products.shape)
        if products[start, end] > best[0]:
            begin, stop = int(spans[start][0]), int(spans[end][1])
            best = (float(products[start, end]), begin, stop, context[begin:stop])
    return best


def _shares(numbers: Any, inside: Array) -> Array:
    logits = np.where(inside, numbers.float().numpy().astype(np.float64), -np.inf)
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum())


def _fits(loaded: Loaded, _: Folder) -> Ask:
    """Option `template`: the sentence that a label is put into; `several`: each label is a yes or no of its own."""
    asked = loaded.transformers.pipeline(
        "zero-shot-classification", model=loaded.model, tokenizer=loaded.prepare,
        hypothesis_template=str(loaded.options.get("template", TEMPLATE)),
        multi_label=bool(loaded.options.get("several", False)),
    )  # fmt: skip

    def one(text: str, labels: str) -> dict[str, Any]:
        named = [label.strip() for label in labels.split(",") if label.strip()]
        if not named or not text:
            raise InvalidInput("expected a 'text' and, in 'labels', one or more labels with commas between, got none")
        return dict(asked(text, named))

    def ask(batch: Batch) -> dict[str, Array]:
        found = list(map(one, texts(batch, "text"), texts(batch, "labels")))
        return {
            "label": np.array([each["labels"][0] for each in found], object),
            "score": np.array([each["scores"][0] for each in found], np.float32),
            "scores": np.array(
                [as_json(dict(zip(each["labels"], each["scores"], strict=True))) for each in found], object
            ),
        }

    return ask


def _knows_entailment(folder: Folder, name: str) -> None:
    if not any(label.lower().startswith("entail") for label in folder.labels):
        raise IncompatibleModel(
            f"{name!r} is said to be for zero-shot-classification, and has no label 'entailment' among its "
            f"{', '.join(folder.labels) or 'labels'}: such models judge whether a sentence follows from another"
        )


TASKS: Final = {
    "question-answering": Task(
        "AutoModelForQuestionAnswering",
        (Field("question", "BYTES"), Field("context", "BYTES")),
        lambda _: (Field("answer", "BYTES"), Field("score", "FP32"), Field("start", "INT64"), Field("end", "INT64")),
        _answers,
    ),
    "zero-shot-classification": Task(
        "AutoModelForSequenceClassification",
        (Field("text", "BYTES"), Field("labels", "BYTES")),
        lambda _: (Field("label", "BYTES"), Field("score", "FP32"), Field("scores", "BYTES")),
        _fits,
        _knows_entailment,
    ),
}
