"""Is a TorchScript archive data only? Judged from the archive, before torch sees it.

Its code is a small language of its own, run by torch's interpreter: what it can do is to call operators. So only
torch's own operators are let through, without those that reach for files, and only pickles that name nothing but the
archive's own classes and tensors.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from typing import Final

from servable.errors import CorruptModel, IncompatibleModel, UnsafeModel
from servable.runtimes import zipped
from servable.runtimes.content import BROKEN_ZIP

_PARTS: Final = re.compile(
    r"(data|constants|attributes)\.pkl|code/.+\.py(\.debug_pkl)?|(data|constants)/\d+|version|byteorder"
    r"|\.data/serialization_id|\.format_version|\.storage_alignment|bytecode\.pkl|extra/[\w.]+"
)
_CALL: Final = re.compile(r"\btorch\.(\w+)")
_OPERATOR: Final = re.compile(r"\bops\.(\w+)\.(\w+)")
_OWN: Final = frozenset({"aten", "prim", "prims", "quantized"})
_REACHING: Final = frozenset({"save", "load", "from_file", "_save", "_load", "hub", "jit"})
_GLOBALS: Final = re.compile(
    r"__torch__[\w.]* \w+|torch\.jit\._pickle \w+|torch\._utils _rebuild_\w+|torch \w+Storage|collections OrderedDict"
    r"|torch\.storage \w+"
)


def is_torchscript(names: list[str]) -> bool:
    """Whether an archive with these entries is a TorchScript program."""
    inner = {name.partition("/")[2] for name in names}
    return "data.pkl" in inner and any(name.startswith("code/") for name in inner)


def judge(data: bytes, name: str) -> None:
    """Raise BundleError unless the archive is a program of torch's own operators, and its weights."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            zipped.judge(archive, len(data), name)
            if len({entry.partition("/")[0] for entry in archive.namelist()}) != 1:
                raise UnsafeModel(_refusal(name, "files in more than one folder"))
            if bad := archive.testzip():
                raise CorruptModel(f"{name!r} is damaged: {bad!r} inside does not match its checksum")
            for entry in archive.namelist():
                inner = entry.partition("/")[2]
                if not _PARTS.fullmatch(inner):
                    raise UnsafeModel(_refusal(name, f"{inner!r}, which is neither program nor weight"))
                if inner.endswith(".py"):
                    _judge_code(archive.read(entry).decode(), name)
                elif inner.endswith(".pkl"):
                    _judge_pickle(archive.read(entry), name)
    except BROKEN_ZIP as error:
        raise CorruptModel(f"{name!r} is a broken or cut off TorchScript program: {error}") from error


def _judge_code(text: str, name: str) -> None:
    if found := sorted(set(_CALL.findall(text)) & _REACHING):
        raise UnsafeModel(_refusal(name, f"a call of torch.{found[0]}"))
    for space, operator in _OPERATOR.findall(text):
        if space not in _OWN:
            raise IncompatibleModel(
                f"{name!r} needs the operator {space}.{operator}, which is not torch's own: save it without"
            )
        if operator in _REACHING:
            raise UnsafeModel(_refusal(name, f"a call of {space}.{operator}"))


def _judge_pickle(data: bytes, name: str) -> None:
    for named in _globals(data, name):
        if not _GLOBALS.fullmatch(named):
            raise UnsafeModel(_refusal(name, f"a pickle that names {named.replace(' ', '.')}"))


def _globals(data: bytes, name: str) -> Iterator[str]:
    """`module name` of everything that a pickle names. Raises CorruptModel, UnsafeModel."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}:  # torch writes none of these
                raise UnsafeModel(_refusal(name, f"a pickle with {opcode.name}"))
            if opcode.name == "GLOBAL":
                yield str(argument)
    except (ValueError, IndexError, AttributeError) as error:
        raise CorruptModel(f"{name!r} is a broken TorchScript program: {error}") from error


def _refusal(name: str, what: str) -> str:
    return f"{name!r} holds {what}: it could run code. Nothing was loaded. Export the model as ONNX, or without it"
