"""PythonModel: the class that custom code is written against. Free of the rest of this package, so that it imports
anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from servable.domain.batch import Array
from servable.domain.field import Field
from servable.domain.signature import Signature


class PythonModel:
    """A model in Python: `load` once, `predict` for each batch. Neither needs to be async, and nothing runs beside
    them.

    `inputs` and `outputs` say what goes in and out, by name: a Field, or its datatype and shape as text. The first axis
    is the rows (-1), unless `batched` is false.

    >>> class Doubler(PythonModel):
    ...     inputs = {"x": "FP32 [-1, 2]"}
    ...     outputs = {"y": "FP32 [-1, 2]"}
    ...
    ...     def predict(self, batch):
    ...         return {"y": batch["x"] * 2}
    >>> signature_of(Doubler).inputs[0].describe()
    'FP32 [-1, 2]'
    """

    inputs: ClassVar[Mapping[str, str | Field]] = {}
    outputs: ClassVar[Mapping[str, str | Field]] = {}
    batched: ClassVar[bool] = True
    device: str = "cpu"
    """Where whoever serves it wants it to run, `cuda:0` say: known before `load`, which places what it loads there."""

    def load(self, folder: Path) -> None:
        """Read what is needed from the bundle's folder, where the model's other files lie. Called once, before
        `predict`.
        """

    def predict(self, batch: dict[str, Array]) -> Mapping[str, Any] | Array:
        """Outputs by name, one row for each row that came in; an array alone where there is one output.

        Arrays of numbers come as declared, texts as object arrays of `str`, a missing text as None. Do not write to
        them, nor keep them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no predict")

    def close(self) -> None:
        """Give back what `load` took."""


def signature_of(declared: Any) -> Signature | None:
    """The signature that a class or module declares by `inputs` and `outputs`; None if it declares none.

    Raises ValueError for one that cannot be.
    """
    inputs, outputs = (getattr(declared, name, None) or {} for name in ("inputs", "outputs"))
    if not inputs or not outputs:
        return None
    batched = bool(getattr(declared, "batched", True))
    return Signature(
        tuple(_field(name, what) for name, what in inputs.items()),
        tuple(_field(name, what) for name, what in outputs.items()),
        batched,
    )


def _field(name: str, what: str | Field) -> Field:
    """`FP32 [-1, 30]`, as Field.describe writes it; without a shape, one value a row."""
    if isinstance(what, Field):
        return what
    datatype, _, shape = what.strip().partition(" ")
    sizes = shape.strip().removeprefix("[").removesuffix("]")
    try:
        return Field(name, datatype, tuple(int(size) for size in sizes.split(",")) if sizes else (-1,))
    except ValueError as error:
        raise ValueError(f"{name!r}: expected a datatype and a shape like 'FP32 [-1, 30]', got {what!r}") from error
