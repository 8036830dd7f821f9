"""The ONNX project's own test cases: small models, inputs, and the outputs that its specification demands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from servable.runtimes import onnx_locale
from tests.assets import wheel

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")


class Case(NamedTuple):
    """A model and what it takes and must give, by name. What is no tensor is None: such models are refused."""

    name: str
    path: Path
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


def paths() -> list[Path]:
    """Every case with data of its own, in the order of their names."""
    root = wheel("onnx==1.21.0", everywhere=False) / "onnx" / "backend" / "test" / "data"
    return sorted(path for kind in KINDS for path in (root / kind).iterdir() if (path / "test_data_set_0").is_dir())


def read(folder: Path) -> Case:
    """The case in a folder."""
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    given = {tensor.name for tensor in model.graph.initializer}
    sides = []
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        named = [value for value in values if kind == "output" or value.name not in given]
        sides.append({value.name: _tensor(folder, kind, at, value) for at, value in enumerate(named)})
    return Case(f"{folder.parent.name}-{folder.name}"[:128], folder / "model.onnx", *sides)


def _tensor(folder: Path, kind: str, at: int, value: onnx.ValueInfoProto) -> Any:
    file = folder / "test_data_set_0" / f"{kind}_{at}.pb"
    if not file.exists() or not value.type.HasField("tensor_type"):
        return None
    try:
        array = numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))
    except (ValueError, TypeError):
        return None
    if array.dtype == object:
        return np.array([text.decode() if isinstance(text, bytes) else text for text in array.flat], object).reshape(
            array.shape
        )
    return array


def asked_in_process(case: Case) -> dict[str, Any]:
    """What onnxruntime answers by itself; where texts change their case, by a locale that this machine has."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    data = case.path.read_bytes()
    plain = onnx_locale.settled(data)
    session = onnxruntime.InferenceSession(str(case.path) if plain == data else plain, options)
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(case.inputs)), strict=True))


def same(found: Any, expected: Any) -> bool:
    """Equal; sums of floats but for their last bits, which depend on where in memory the numbers begin."""
    expected = np.asarray(expected)
    if expected.dtype.kind in "UO":
        return found.shape == expected.shape and found.ravel().tolist() == [str(text) for text in expected.ravel()]
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if expected.dtype.kind in "fc":
        rounding = 32 * np.finfo(expected.dtype).eps
        return np.allclose(found, expected, rounding, rounding, equal_nan=True)
    return np.array_equal(found, expected)


def close(found: Any, expected: Any) -> bool:
    """As near as ONNX's own runner asks."""
    if expected.dtype.kind in "fc":
        return found.shape == expected.shape and np.allclose(found, expected, 1e-3, 1e-5, equal_nan=True)
    return same(found, expected)


def parts(cases: list[Path], size: int) -> Iterator[list[Path]]:
    """So many at a time."""
    for start in range(0, len(cases), size):
        yield cases[start : start + size]
