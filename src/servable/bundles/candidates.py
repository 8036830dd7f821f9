"""The forms a model could be packed in: converted to ONNX in several ways, and its own file. None is trusted here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from servable.bundles import convert
from servable.bundles.infer import column_fields, columns_of, matrix_field
from servable.bundles.original import Original
from servable.bundles.prove import Asked, contract
from servable.bundles.sample import Table, is_frame
from servable.bundles.tables import to_batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, MissingExtra
from servable.runtimes import onnx_file
from servable.runtimes.find import runtime


class Candidate(msgspec.Struct, frozen=True):
    """A file, the runtime that loads it, the inputs it takes, and the options it needs."""

    name: str
    format: str
    file: str
    data: bytes
    inputs: tuple[Field, ...]
    options: dict[str, Any] = {}


def converted(original: Original, table: Table, asked: list[Asked]) -> Iterator[Candidate | ConversionRejected]:
    """Every ONNX file that conversion yields, plainest first; what it refuses comes as the refusal."""
    answer = asked[0].answer
    assert answer is not None  # noqa: S101 - the sample itself: `ask` raises where the original refuses that
    columns = tuple(table.columns) if is_frame(table) else ()
    if original.format == "catboost":
        yield _catboost(original, table, asked)
        return
    adapt = _adapting()
    known = adapt.known_categories(original.model)
    ways = list(convert.attempts(table, by_column=original.flat or adapt.splits_columns(original.model)))
    if any(field.content == "date" for way in ways for field in way.inputs):
        ways = []
        yield ConversionRejected("ONNX has no dates")
    elif not ways:
        yield ConversionRejected("its columns are not all numbers, and it does not take them one by one")
    for way in ways:
        inputs = contract(way.inputs, asked, known)
        try:
            batch = to_batch(table, Signature(inputs, ()))
            data = convert.to_onnx(original.model, way, columns, answer, batch)
        except ConversionRejected as rejected:
            yield rejected
            continue
        text = any(field.datatype == "BYTES" for field in inputs)
        yield Candidate(way.name, "onnx", "model.onnx", data, inputs, {"missing_text": adapt.MISSING} if text else {})


def own(original: Original, table: Table, asked: list[Asked]) -> Candidate:
    """The model's own file, with the inputs that its runtime makes of the sample."""
    data = original.dumped()
    options = original.options()
    if original.format == "sklearn":
        inputs, taken = taken_by_estimator(table, flat=original.flat)
        return Candidate(
            "its own file", "sklearn", original.file, data, contract(inputs, asked, _known(original)), taken
        )
    names = tuple(table.columns) if is_frame(table) else ()
    inputs = named(_inspected(original.format, original.file, data), names)
    if names:
        options["features"] = list(names)
    return Candidate("its own file", original.format, original.file, data, inputs, options)


def taken_by_estimator(table: Table, *, flat: bool) -> tuple[tuple[Field, ...], dict[str, Any]]:
    """The inputs that give an estimator the sample as it stands, and the options that say how. `flat`: as texts."""
    columns = columns_of(table)
    datatype = "FP32" if columns is None and table.dtype == "float32" else "FP64"
    matrix = matrix_field(table, datatype)
    inputs = (matrix,) if matrix else column_fields(table, datatype)
    if flat:
        return inputs, {"flat": True}
    return inputs, {} if columns is None else {"frame": msgspec.to_builtins(columns)}


def named(inputs: tuple[Field, ...], names: tuple[str, ...]) -> tuple[Field, ...]:
    """The inputs of a tree model by the sample's column names, in the model's order: its file may have lost or changed
    them.
    """
    if not names:
        return inputs
    if len(inputs) == 1 and inputs[0].shape[-1] == len(names):
        return (msgspec.structs.replace(inputs[0], features=names),)
    if len(inputs) == len(names) and all(field.shape == (-1, 1) for field in inputs):
        return tuple(msgspec.structs.replace(field, name=name) for field, name in zip(inputs, names, strict=True))
    return inputs


def _adapting() -> Any:
    """The module that makes estimators ready for skl2onnx. Raises MissingExtra."""
    try:
        from servable.bundles import adapt
    except ImportError as error:
        raise MissingExtra("pack", "convert a model to ONNX", missing=error.name) from error
    return adapt


def _known(original: Original) -> dict[str, tuple[str, ...]]:
    try:
        from servable.bundles import adapt
    except ImportError:
        return {}
    return adapt.known_categories(original.model)


def _inspected(kind: str, file: str, data: bytes) -> tuple[Field, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_bytes(data)
        return runtime(kind).inspect(path).signature.inputs


def _catboost(original: Original, table: Table, asked: list[Asked]) -> Candidate | ConversionRejected:
    """CatBoost writes ONNX itself, for models without categories."""
    matrix = matrix_field(table, "FP32")
    answer = asked[0].answer
    if matrix is None or answer is None:
        return ConversionRejected("CatBoost writes ONNX for numbers only")
    inputs = contract((matrix,), asked, {})
    try:
        import onnx

        from servable.bundles import onnx_outputs
    except ImportError as error:
        raise MissingExtra("pack", "convert a model to ONNX", missing=error.name) from error
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            original.model.save_model(str(path), format="onnx")
            plain = onnx_file.read(path.read_bytes()).model
        batch = to_batch(table, Signature(inputs, ()))
        data = onnx_outputs.fit(onnx.load_from_string(plain), original.model, answer, batch, double=False)
    except Exception as error:  # noqa: BLE001 - a wall: CatBoost raises its own errors for what ONNX cannot hold
        return ConversionRejected(str(error).strip().splitlines()[0][:300])
    return Candidate("CatBoost's own ONNX", "onnx", "model.onnx", data, inputs)
