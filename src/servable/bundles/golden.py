"""Golden rows: inputs and the answers they must get, kept in the bundle and asked of every loaded version.

The file is JSON, data only: `{"inputs": {name: tensor}, "outputs": {name: tensor}, "relative": r, "absolute": a}`;
`tensors.py` says what a tensor is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from servable.bundles.difference import ABSOLUTE, RELATIVE, differences
from servable.bundles.tensors import Tensor, tensor
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.errors import CorruptModel, IncompatibleModel
from servable.runtimes import verified

GOLDEN: Final = "golden.json"
"""The file's name in a bundle that this program packs."""


class _Golden(msgspec.Struct, forbid_unknown_fields=True):
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    rows: int = 0
    relative: float = RELATIVE
    absolute: float = ABSOLUTE


def golden_bytes(inputs: Batch, outputs: Batch, relative: float = RELATIVE, absolute: float = ABSOLUTE) -> bytes:
    """Rows and their answers as a file's content. Equal batches give equal bytes."""
    golden = _Golden(
        {name: tensor(array) for name, array in inputs.columns.items()},
        {name: tensor(array) for name, array in outputs.columns.items()},
        inputs.rows,
        relative,
        absolute,
    )
    return msgspec.json.encode(golden, order="deterministic") + b"\n"


def read_golden(data: bytes) -> tuple[Batch, Batch, float, float]:
    """Inputs, outputs, relative and absolute tolerance. Raises CorruptModel."""
    try:
        golden = msgspec.json.decode(data, type=_Golden)
        inputs = {name: written.array() for name, written in golden.inputs.items()}
        outputs = {name: written.array() for name, written in golden.outputs.items()}
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
        raise CorruptModel(f"the golden rows of the bundle cannot be read: {error}") from error
    return Batch(inputs, golden.rows), Batch(outputs, golden.rows), golden.relative, golden.absolute


def golden_rows(bundle: Bundle) -> Batch | None:
    """The inputs among the golden rows; None where the bundle has none. Raises CorruptModel, DigestMismatch."""
    return None if bundle.manifest.golden is None else _read(bundle)[0]


def prove_golden(bundle: Bundle, model: Model) -> int:
    """Raise IncompatibleModel unless `model` answers the golden rows as written, together and one alone.

    Returns how many rows it was asked; 0 where the bundle has none.
    """
    if bundle.manifest.golden is None:
        return 0
    inputs, outputs, relative, absolute = _read(bundle)
    if faults := bundle.signature.check(inputs):
        raise CorruptModel(f"the golden rows of {bundle.name!r} break its own signature: {'; '.join(map(str, faults))}")
    asked = [(inputs, outputs)]
    if bundle.signature.batched and inputs.rows > 1:
        asked.append((inputs.slice(0, 1), outputs.slice(0, 1)))
    for rows, expected in asked:
        wrong = [found for found in differences(expected, model.predict(rows), relative, absolute) if found.count]
        if wrong:
            raise IncompatibleModel(
                f"the loaded model {bundle.name!r} does not reproduce its golden rows: {'; '.join(map(str, wrong))}. "
                f"It was packed with {_libraries(bundle)}: install these, or pack it again",
            )
    return inputs.rows


def _read(bundle: Bundle) -> tuple[Batch, Batch, float, float]:
    return read_golden(verified.read(bundle, bundle.folder / str(bundle.manifest.golden)))


def _libraries(bundle: Bundle) -> str:
    return ", ".join(f"{name} {version}" for name, version in bundle.manifest.libraries.items()) or "other libraries"
