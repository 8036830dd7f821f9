"""Is an exported PyTorch program (`.pt2`) data only? Judged from the archive, before torch sees it.

torch itself is trusting here: an archive may hold pickles, shared libraries, names of any function below `torch`, and
expressions in Python. Only graphs of `aten` operators with plain weights are let through.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile
from typing import Any, Final

import msgspec

from servable.errors import CorruptModel, IncompatibleModel, UnsafeModel
from servable.runtimes import zipped
from servable.runtimes.content import BROKEN_ZIP
from servable.runtimes.json_walk import objects

_PARTS: Final = re.compile(
    r"models/model\.json|data/(weights|constants)/model_(weights|constants)_config\.json|data/weights/weight_\d+"
    r"|data/constants/tensor_\d+|data/sample_inputs/model\.pt|archive_format|archive_version|version|byteorder"
    r"|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
)
_OPERATORS: Final = re.compile(
    r"torch\.ops\.(aten|prims)\.\w+\.\w+|torch\.(sym_\w+|_check)|_operator\.(?!(attr|item|method)\w*$|\w*call)\w+"
    r"|math\.\w+|torch\.ops\.higher_order\.(cond|wrap_with_set_grad_enabled|while_loop)"
)
_REACHING: Final = re.compile(r"torch\.ops\.aten\.(from_file|save|load)\b")
_NAMES: Final = frozenset({
    "L", "Symbol", "positive", "integer", "nonnegative", "real", "Max", "Min", "Mod", "PythonMod", "FloorDiv",
    "CleanDiv", "CeilDiv", "ModularIndexing", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Integer",
    "Add", "Mul", "Pow", "Abs", "oo", "int_oo", "size", "shape", "dim", "stride", "storage_offset", "ndim",
})  # fmt: skip
_SYMBOL: Final = re.compile(r"[suz]\w{0,3}\d+")
_NODES: Final = (
    ast.Expression, ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Call, ast.keyword, ast.Name, ast.Attribute,
    ast.Subscript, ast.Constant, ast.operator, ast.boolop, ast.unaryop, ast.cmpop, ast.expr_context, ast.Tuple,
)  # fmt: skip


def is_exported(names: list[str]) -> bool:
    """Whether an archive with these entries is an exported program."""
    inner = {name.partition("/")[2] for name in names}
    return "archive_format" in inner and "models/model.json" in inner


def judge(data: bytes, name: str) -> str:
    """The version of torch that wrote an archive. Raises BundleError unless it is a graph and its weights."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            zipped.judge(archive, len(data), name)
            entries = {entry.partition("/")[2]: entry for entry in archive.namelist()}
            if len({entry.partition("/")[0] for entry in archive.namelist()}) != 1:
                raise UnsafeModel(_refusal(name, "files in more than one folder"))
            for inner in entries:
                if not _PARTS.fullmatch(inner):
                    raise UnsafeModel(_refusal(name, f"{inner!r}, which is neither graph nor weight"))
            if bad := archive.testzip():
                raise CorruptModel(f"{name!r} is damaged: {bad!r} inside does not match its checksum")
            model = msgspec.json.decode(archive.read(entries["models/model.json"]))
            configs = [
                msgspec.json.decode(archive.read(entries[each])) for each in entries if each.endswith("_config.json")
            ]
    except BROKEN_ZIP as error:
        raise CorruptModel(f"{name!r} is a broken or cut off exported program: {error}") from error
    _judge_graph(model, name)
    for config in configs:
        if any(entry.get("use_pickle") is True for entry in objects(config)):
            raise UnsafeModel(_refusal(name, "weights or constants that are pickled"))
    return str(model.get("torch_version", "")).partition("+")[0] if isinstance(model, dict) else ""


def _judge_graph(model: Any, name: str) -> None:
    for entry in objects(model):
        target = entry.get("target")
        if isinstance(target, str) and "inputs" in entry:
            if target.startswith("torch.ops.") and not _OPERATORS.fullmatch(target) and "aten" not in target:
                raise IncompatibleModel(
                    f"{name!r} needs the operator {target}, which is not torch's own: export without it"
                )
            if not _OPERATORS.fullmatch(target) or _REACHING.match(target):
                raise UnsafeModel(_refusal(name, f"a call of {target}"))
        for key in ("expr_str", "guards_code"):
            texts = entry.get(key)
            for text in texts if isinstance(texts, list) else [texts]:
                if isinstance(text, str) and not _plain(text):
                    raise UnsafeModel(_refusal(name, f"the expression {text[:80]!r}"))


def _plain(text: str) -> bool:
    """Whether an expression is arithmetic of sizes."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            return False
        word = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if word is not None and word not in _NAMES and not _SYMBOL.fullmatch(word):
            return False
    return True


def _refusal(name: str, what: str) -> str:
    return f"{name!r} holds {what}: it could run code. Nothing was loaded. Export the model as ONNX, or without it"
