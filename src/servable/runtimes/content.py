"""Names what a file or folder holds, by its first bytes, for the error that says it is no model we know.

Used only to explain a refusal: deciding what *is* a model belongs to each runtime.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Final

HEAD_BYTES: Final = 4096
BROKEN_ZIP: Final = (
    zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
"""What Python's zipfile raises for an archive that is damaged."""

_MAGIC: Final = (
    (0, b"version https://git-lfs", "a git-lfs pointer, not the file itself: run  git lfs pull"),
    (0, b"\x1f\x8b", "gzip-compressed data: unpack it first"),
    (0, b"\x89HDF\r\n", "an HDF5 file (an old Keras model?): convert it to ONNX with tf2onnx"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"PAR1", "a Parquet table: that is data, not a model"),
    (0, b"ARROW1", "an Arrow table: that is data, not a model"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x7fELF", "a program or shared library"),
    (0, b"BZh", "bzip2-compressed data: unpack it first"),
    (0, b"\xfd7zXZ", "xz-compressed data: unpack it first"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"binf", "an XGBoost file in the old binary format: save it with XGBoost's save_model('model.ubj')"),
    (4, b"TFL3", "a TFLite model"),
    (4, b"ORTM", "an ORT-format model: serve the .onnx file it was made from"),
    (257, b"ustar", "a tar archive: unpack it first"),
)
"""What begins where, and what that is."""
_PICKLE: Final = (
    "a pickle, which runs code when it is opened: in the environment that made it, load it and give the object to "
    "servable.pack(model, sample=...)"
)
_TORCH: Final = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLED_TORCH: Final = (
    "a PyTorch file that is a pickle (a whole module, a state_dict, training arguments), which runs code: save the "
    "model with torch.export.save, as TorchScript or as ONNX, or its weights as safetensors"
)
_FOLDERS: Final = (
    ("saved_model.pbtxt", "a TensorFlow SavedModel as text: save it again, in the binary form"),
    ("manifest.toml", "a Servable bundle"),
    ("config.json", "a Hugging Face model folder: export it to ONNX with optimum"),
)


def looks_like(path: Path, head: bytes) -> str:
    """A phrase: `an HTML page: …`. `head` is the file's first 4 KiB, empty for a folder."""
    if path.is_dir():
        return _folder(path)
    if not head:
        return "an empty file"
    for start, magic, phrase in _MAGIC:
        if head[start : start + len(magic)] == magic:
            return phrase
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if is_legacy_torch(head):
        return _PICKLED_TORCH
    if is_pickle(head):
        return _PICKLE
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "a safetensors file: weights without a model that uses them"
    return _text(head)


def is_legacy_torch(head: bytes) -> bool:
    """Whether a file that starts so is of PyTorch before 1.6: a row of pickles, the first of which is a number."""
    return head[:1] == b"\x80" and head[2 : 2 + len(_TORCH)] == _TORCH


def is_pickle(head: bytes) -> bool:
    """Whether a file that starts so is a pickle: plain from protocol 2 on, or compressed by joblib with zlib or lz4."""
    zlib = head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0  # RFC 1950: the header is a multiple of 31
    return (head[:1] == b"\x80" and head[1:2] <= b"\x05") or zlib or head.startswith(b"ZF0x")


def _text(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:400].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page, probably a download that answered with an error or a login"
    if start.startswith(b"<"):
        return "an XML document"
    if start.startswith((b"{", b"[")):
        return "JSON that is not a model of XGBoost"
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return "unknown binary data"
        text = head[: error.start].decode()
    if not text.isprintable() and any(ord(letter) < 9 for letter in text):
        return "unknown binary data"
    return f"plain text that starts with {text.splitlines()[0][:60]!r}" if text.strip() else "blank text"


def entries(path: Path) -> list[str] | None:
    """The names in a zip file; None where it is broken."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except BROKEN_ZIP:
        return None


def _archive(path: Path) -> str:
    """What a zip file holds, by the names in it."""
    names = entries(path)
    if names is None:
        return "a broken or cut off zip file"
    if any("/code/" in name for name in names) and any(name.endswith("data.pkl") for name in names):
        return "a TorchScript program, which does not say what it takes: save it with torch.export.save, or as ONNX"
    if any(name.endswith("data.pkl") for name in names):
        return _PICKLED_TORCH
    if names and all(name.endswith(".npy") for name in names):
        return "a numpy .npz archive"
    if "[Content_Types].xml" in names:
        return "an Office document"
    return f"a zip archive ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}): unpack it first"


def _folder(path: Path) -> str:
    names = sorted(entry.name for entry in path.iterdir())
    for name, phrase in _FOLDERS:
        if name in names:
            return phrase
    return f"a folder with {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else "an empty folder"
