"""What a pickle says of itself while it is closed: whether it is one, behind its compression, and which versions of
scikit-learn and which modules it names. Nothing is unpickled here.

Pickle's opcodes are those of Python, Lib/pickletools.py.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from servable.errors import CorruptModel
from servable.runtimes.content import is_legacy_torch, is_pickle

_GZIP_OR_ZLIB: Final = 47
"""zlib's word for: see for yourself which of the two it is."""
_COMPRESSED: Final = {
    b"\x1f\x8b": lambda: zlib.decompressobj(_GZIP_OR_ZLIB),
    b"\x78": lambda: zlib.decompressobj(_GZIP_OR_ZLIB),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00\x00": lzma.LZMADecompressor,
}
"""How joblib compresses: the first bytes, and what opens them."""
_BROKEN: Final = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
_CHUNK: Final = 1 << 20
_OVERLAP: Final = 1 << 10
"""Nothing that is looked for is longer."""
_PROTOCOLS: Final = (b"\x02", b"\x03", b"\x04", b"\x05")

_TEXT: Final = rb"(?:\x8c(?P<short>.)|X(?P<long>.{4}))"
_VERSION: Final = re.compile(rb"_sklearn_version(?:\x94|q.|r.{4})?" + _TEXT, re.DOTALL)
_GLOBAL: Final = re.compile(rb"c([A-Za-z_][\w.]*)\n[A-Za-z_][\w.]*\n|\x8c(.)([A-Za-z_][\w.]*)", re.DOTALL)


def is_pickle_file(path: Path, head: bytes) -> bool:
    """Whether a file is a pickle, plain or compressed as joblib does, of protocol 2 or later. `head` begins it."""
    if is_legacy_torch(head):
        return False
    opener = _opener(head)
    if opener is None:
        return is_pickle(head) and head[1:2] in _PROTOCOLS
    try:
        with path.open("rb") as file:
            first = b""
            while len(first) < 2 and (chunk := file.read(_CHUNK)):
                first += opener.decompress(chunk)
    except _BROKEN:
        return False
    return first[:1] == b"\x80" and first[1:2] in _PROTOCOLS


def versions(data: bytes, name: str) -> tuple[str, ...]:
    """The versions of scikit-learn that the pickle says its estimators were made by. Raises CorruptModel."""
    found: dict[str, None] = {}
    for chunk in _plain(data, name):
        for match in _VERSION.finditer(chunk):
            length = int.from_bytes(match["short"] or match["long"], "little")
            found[chunk[match.end() : match.end() + length].decode(errors="replace")] = None
    return tuple(version for version in found if re.fullmatch(r"\d+(\.\d+)+[\w.]*", version))


def modules(data: bytes, name: str) -> frozenset[str]:
    """Every name in the pickle that could be that of a top-level module: some are, some only look so. Raises
    CorruptModel.
    """
    found = set()
    for chunk in _plain(data, name):
        for match in _GLOBAL.finditer(chunk):
            word = match[1] or match[3][: match[2][0]]
            found.add(word.partition(b".")[0].decode())
    return frozenset(found)


def _plain(data: bytes, name: str) -> Iterator[bytes]:
    """The pickle in pieces without compression, each beginning with the end of the one before."""
    opener, kept = _opener(data), b""
    for start in range(0, len(data), _CHUNK):
        piece = data[start : start + _CHUNK]
        try:
            if opener is not None:
                piece = b"" if opener.eof else opener.decompress(piece)
        except _BROKEN as error:
            raise CorruptModel(f"{name!r} is a broken or cut off pickle: {error}") from error
        yield kept + piece
        kept = (kept + piece)[-_OVERLAP:]
    if opener is not None and not opener.eof:
        raise CorruptModel(f"{name!r} is a cut off pickle: its compressed data does not come to an end")


def _opener(head: bytes) -> Any:
    """What decompresses a file that begins so; None for one that is not compressed."""
    for magic, opener in _COMPRESSED.items():
        if head.startswith(magic):
            return opener()
    return None
