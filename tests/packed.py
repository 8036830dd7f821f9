"""Small real bundles: an ONNX model `y = factor · x` whose answers show which version gave them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import onnx
from onnx import TensorProto, helper

from servable.bundles.digest import of_bytes, of_tree
from servable.bundles.manifest import dumps
from servable.bundles.open import open_bundle
from servable.domain.bundle import MANIFEST


def scaler(path: Path, factor: float = 2.0) -> Path:
    """An ONNX file that multiplies `x` (rows × 2) by a factor."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scaler",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def bundle_at(folder: Path, name: str = "scaler", factor: float = 2.0) -> Path:
    """The folder, with a bundle of such a model in it: as packing would have made it, without a sample."""
    bare = open_bundle(scaler(folder / "model.onnx", factor), name=name)
    manifest = msgspec.structs.replace(bare.manifest, files=of_tree(folder))
    (folder / MANIFEST).write_bytes(dumps(manifest))
    return folder


def bandit_at(folder: Path, actions: Sequence[str], inputs: Mapping[str, str], name: str = "choice") -> Path:
    """The folder, with a bundle of a bandit in it."""
    folder.mkdir(parents=True)
    described = {"learner": "linucb", "inputs": inputs, "actions": actions, "options": {"epsilon": 0.1}}
    (folder / "learner.json").write_text(json.dumps(described))
    bare = open_bundle(folder / "learner.json", name=name)
    (folder / MANIFEST).write_bytes(dumps(msgspec.structs.replace(bare.manifest, files=of_tree(folder))))
    return folder


def digest_of(folder: Path) -> str:
    """The digest of the bundle there."""
    return of_bytes((folder / MANIFEST).read_bytes())
