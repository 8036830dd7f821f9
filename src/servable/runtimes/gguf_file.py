"""Reads the head of a GGUF file: what model it holds, and whether all of it is there. The weights are not touched.

Source: ggml-org/ggml, docs/gguf.md. Every length is checked against the file before anything is read.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.errors import CorruptModel, IncompatibleModel

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MOST_ENTRIES: Final = 1 << 20
MOST_AXES: Final = 4
ALIGNMENT: Final = 32

_NUMBERS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_LENGTH: Final = struct.Struct("<Q")
_TEXT: Final = 8
_LIST: Final = 9
_KEPT: Final = 64
"""Lists longer than this (the vocabulary) are passed over."""


class GgufFile(msgspec.Struct, frozen=True):
    """`facts` are its metadata but the long lists; `tensors` how many there are."""

    version: int
    facts: dict[str, Any]
    tensors: int

    @property
    def architecture(self) -> str:
        """The kind of network: `llama`, `qwen3`."""
        return str(self.facts.get("general.architecture", ""))

    @property
    def trained_context(self) -> int:
        """Tokens that the model was trained to look back on; 0 where the file does not say."""
        told = self.facts.get(f"{self.architecture}.context_length", 0)
        return told if isinstance(told, int) else 0


def read(path: Path) -> GgufFile:
    """The head of the file at `path`. Raises CorruptModel, IncompatibleModel."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, path.name).head()
    except (OSError, ValueError) as error:  # mmap's word for an empty file is ValueError
        raise CorruptModel(f"cannot read {path.name!r}: {error}") from error


class _Reader:
    def __init__(self, data: mmap.mmap, name: str) -> None:
        self._data = data
        self._name = name
        self._at = 0

    def head(self) -> GgufFile:
        if self._data[:4] != MAGIC:
            raise CorruptModel(f"{self._name!r} is no GGUF file: it does not begin with {MAGIC.decode()}")
        self._at = 4
        version = self._number(4)
        if version not in VERSIONS:
            raise IncompatibleModel(f"{self._name!r} is GGUF of version {version}: expected 2 or 3; convert it anew")
        tensors, entries = self._number(10), self._number(10)
        if max(tensors, entries) > MOST_ENTRIES:
            raise self._broken(f"it claims {tensors} tensors and {entries} entries")
        facts = {self._text(): self._value(self._number(4)) for _ in range(entries)}
        ends = [self._tensor() for _ in range(tensors)]
        alignment = facts.get("general.alignment", ALIGNMENT)
        start = -(-self._at // alignment) * alignment if isinstance(alignment, int) and alignment > 0 else self._at
        if ends and start + max(ends) > len(self._data):
            raise self._broken(f"a tensor begins at {start + max(ends)} of {len(self._data)} bytes")
        return GgufFile(version, {key: value for key, value in facts.items() if value is not None}, tensors)

    def _tensor(self) -> int:
        """Pass over one tensor's description; where its weights begin, and more follows."""
        self._text()
        axes = self._number(4)
        if axes > MOST_AXES:
            raise self._broken(f"a tensor has {axes} axes")
        self._skip(8 * axes + 4)
        return int(self._number(10)) + 1

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind != _LIST:
            return self._number(kind)
        kind, length = self._number(4), self._number(10)
        if length > len(self._data) or (kind not in _NUMBERS and kind != _TEXT):
            raise self._broken(f"a list claims {length} items of kind {kind}")
        if kind in _NUMBERS and length > _KEPT:
            self._skip(length * struct.calcsize(_NUMBERS[kind]))
            return None
        if length > _KEPT:
            self._skip_texts(length)
            return None
        return [self._value(kind) for _ in range(length)]

    def _number(self, kind: int) -> Any:
        code = _NUMBERS.get(kind)
        if code is None:
            raise self._broken(f"an entry is of the unknown kind {kind}")
        try:
            (value,) = struct.unpack_from(code, self._data, self._at)
        except struct.error:
            raise self._broken("it ends in the middle of its head") from None
        self._at += struct.calcsize(code)
        return value

    def _text(self) -> str:
        length = self._number(10)
        start = self._at
        self._skip(length)
        return bytes(self._data[start : self._at]).decode("utf-8", "replace")

    def _skip_texts(self, count: int) -> None:
        """Pass over so many texts: a vocabulary has a hundred thousand."""
        data, at, end = self._data, self._at, len(self._data)
        length_at = _LENGTH.unpack_from
        try:
            for _ in range(count):
                at += 8 + length_at(data, at)[0]
        except struct.error:
            raise self._broken("it ends in the middle of its head") from None
        if at > end:
            raise self._broken("it ends in the middle of its head")
        self._at = at

    def _skip(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise self._broken("it ends in the middle of its head")
        self._at += size

    def _broken(self, how: str) -> CorruptModel:
        return CorruptModel(f"{self._name!r} is a broken or cut off GGUF file: {how}; copy it again")
