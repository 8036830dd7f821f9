"""What a task is: the fields that clients see, the class of transformers that it takes, and how rows are answered.

The table of all of them is `tasks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.signature import Signature
from servable.errors import ModelFailed, ServableError
from servable.runtimes.huggingface.folder import Folder


class Loaded(NamedTuple):
    """The libraries, the model, and what prepares its inputs: a tokenizer, or an image processor."""

    torch: Any
    transformers: Any
    prepare: Any
    model: Any
    options: Mapping[str, Any]
    """The bundle's."""


Ask = Callable[[Batch], Mapping[str, Array]]
"""Answers to rows: at least one."""


class Task(NamedTuple):
    """One of the tasks that a folder may be for.

    `kind` is the class of transformers that loads the model, `pictures` says that an image processor comes before it,
    `made` gives the rows' answers, or a whole Model of its own. `judge` refuses folders that lack something.
    """

    kind: str
    inputs: tuple[Field, ...]
    outputs: Callable[[Folder], tuple[Field, ...]]
    made: Callable[[Loaded, Folder], Ask | Model]
    judge: Callable[[Folder, str], None] = lambda _folder, _name: None
    pictures: bool = False
    lacking: str = ""
    """The start of names of weights that a folder may lack: the answers come from before them."""


class AskedModel:
    """A task as a Model, one call at a time."""

    concurrent = False

    def __init__(self, ask: Ask, signature: Signature) -> None:
        self._ask: Ask | None = ask
        self._signature = signature

    def predict(self, batch: Batch) -> Batch:
        if self._ask is None:
            raise ModelFailed("the model is closed")
        if not batch.rows:
            return self.predict(self._signature.example()).slice(0, 0)
        try:
            found = self._ask(batch)
        except ServableError:
            raise
        except Exception as error:
            raise ModelFailed(f"transformers: {' '.join(str(error).split())[:400]}") from error
        return Batch({field.name: found[field.name] for field in self._signature.outputs}, batch.rows)

    def close(self) -> None:
        self._ask = None


def texts(batch: Batch, name: str) -> list[str]:
    """The rows of an input of texts."""
    return [str(text) for text in batch.columns[name].reshape(-1).tolist()]
