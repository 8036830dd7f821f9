"""Signed: an update as its publisher signed it. Nothing in it is looked at before a trusted key's signature holds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from servable.edge.program.ed25519 import holds
from servable.errors import ServableError

SAID: Final = b"servable update "
MOST_BYTES: Final = 1_000_000
NEEDS: Final = 1
"""What a client must understand: raised with what editions begin to hold, in `client/updates.js` too."""

T = TypeVar("T")


class NotTaken(ServableError):
    """Why an update is not taken: `state` is one word, for programs."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


class File(msgspec.Struct, frozen=True):
    """A file of an edition, by its content."""

    bytes: int
    sha256: str


class Update(msgspec.Struct, frozen=True):
    """What is signed. Of two the one with the higher `sequence` holds; `disabled` are versions with the reasons."""

    name: str
    version: str
    sequence: int
    files: dict[str, File]
    needs: int = NEEDS
    disabled: dict[str, str] = {}


class Signed(msgspec.Struct, frozen=True):
    """A manifest as it lies there: the text that was signed, and the signatures by public key."""

    update: str
    signatures: dict[str, str]


def verified(data: bytes, trusted: Sequence[str]) -> Update:
    """The update in what was published. Raises NotTaken."""
    told = _read(data, Signed)
    said = SAID + told.update.encode()
    for key in trusted:
        if key in told.signatures and holds(_bytes(key), _bytes(told.signatures[key]), said):
            return _read(told.update.encode(), Update)
    raise NotTaken("forged", "the update is signed by no key that this program trusts: it is not taken")


def _read(data: bytes, kind: type[T]) -> T:
    try:
        if len(data) > MOST_BYTES:
            raise ValueError("it is too long")
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise NotTaken("damaged", f"the update cannot be read: {error}") from error


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotTaken("damaged", "the update's signature cannot be read") from error
