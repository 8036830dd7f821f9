"""Signatures: who vouches for a bundle. Ed25519 over its digest, in a file beside the manifest.

The digest is that of the manifest, which holds those of all files: one signature is of every byte. Who demands one
takes the manifest's digest once, verifies the signature of that, and loads nothing that has another digest: between the
check and the load nothing can be exchanged, because every byte is checked again as it is read (`runtimes/verified.py`).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from servable.bundles import digest
from servable.bundles.write import write_file
from servable.domain.bundle import MANIFEST, SIGNATURES
from servable.errors import BundleError, MissingExtra, UnsignedModel, UsageError, unreadable
from servable.stores.whole import sync

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_SAID: Final = b"servable bundle "
"""Before the digest: what a key signs elsewhere is no signature of a bundle."""
_KEY_BYTES: Final = 32


def sign(folder: Path, named: str, key: Path) -> str:
    """Add the signature of a private key (a PEM file) over the bundle's digest; its public key, as people write it.

    Raises UsageError for a file that is no such key, EnvironmentFault, MissingExtra.
    """
    public, signature = signed(_SAID + named.encode(), key)
    _keep(folder, signatures(folder) | {public: signature})
    return public


def signed(said: bytes, key: Path) -> tuple[str, str]:
    """The public key of a private one (a PEM file) and its signature of what is said, both in base64. What is said
    begins with words that tell what it is: no signature of one thing may be one of another.

    Raises UsageError for a file that is no such key, MissingExtra.
    """
    private = _private(key)
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    return public, base64.b64encode(private.sign(said)).decode()


def signatures(folder: Path) -> dict[str, str]:
    """Public key to signature, both in base64. Raises BundleError for a file that holds something else."""
    path = folder / SIGNATURES
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"{SIGNATURES} of the bundle in {folder} cannot be read: {error}") from error


def join_signatures(target: Path, source: Path) -> None:
    """Take over the signatures beside another copy of the same bundle."""
    new = signatures(source)
    if new and not new.items() <= signatures(target).items():
        _keep(target, signatures(target) | new)


def signers(folder: Path, named: str) -> list[str]:
    """The public keys whose signature of this digest holds. Raises BundleError, MissingExtra."""
    said = _SAID + named.encode()
    return [public for public, signature in signatures(folder).items() if holds(public, signature, said)]


def demand(folder: Path, trusted: Sequence[str]) -> str:
    """The digest of the bundle in a folder, once a trusted key's signature of it is found to hold.

    `trusted` are public keys: base64, or the path of a PEM file. Raises UnsignedModel, UsageError, MissingExtra.
    """
    if not (folder / MANIFEST).is_file():
        raise UnsignedModel(f"{str(folder)!r} is no bundle, so nobody can have signed it: pack it, then sign it")
    named = digest.of_bytes((folder / MANIFEST).read_bytes())
    keys = {public_key(text) for text in trusted}
    found = set(signers(folder, named))
    if not keys & found:
        by = f"signed by {', '.join(sorted(found))}" if found else "not signed"
        raise UnsignedModel(
            f"the bundle in {folder} is {by}; trusted are {', '.join(sorted(keys))}. Sign it:  "
            "servable models sign REF --key FILE"
        )
    return named


def public_key(text: str) -> str:
    """A public key in base64, from base64 or from a PEM file. Raises UsageError."""
    try:
        if len(base64.b64decode(text, validate=True)) == _KEY_BYTES:
            return text
    except (binascii.Error, ValueError):
        pass
    try:
        data = Path(text).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"{text!r} is no public key: expected 32 bytes in base64, or a PEM file") from error
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(data)
    except ValueError as error:
        raise UsageError(f"{text!r} holds no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{text!r} holds a {type(key).__name__}: expected an Ed25519 key")
    return base64.b64encode(key.public_bytes_raw()).decode()


def _private(path: Path) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise MissingExtra("sign", "sign a bundle", missing=error.name) from error
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise unreadable(path, error, "the key") from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{str(path)!r} holds no private key in PEM without a password ({error}). Make one:  "
            f"openssl genpkey -algorithm ed25519 -out {path.name}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{str(path)!r} holds a {type(key).__name__}: expected an Ed25519 key")
    return key


def holds(public: str, signature: str, said: bytes) -> bool:
    """Whether a key's signature, both in base64, is of what is said. Raises MissingExtra."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise MissingExtra("sign", "verify a signature", missing=error.name) from error
    try:
        key: Ed25519PublicKey = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), said)
    except (InvalidSignature, ValueError):
        return False
    return True


def _keep(folder: Path, found: dict[str, str]) -> None:
    """In place of the file that is there, as a whole."""
    new = folder.parent / f".incoming-{secrets.token_hex(8)}"  # in the folder it would be a file of the bundle
    try:
        write_file(new, msgspec.json.encode(dict(sorted(found.items()))) + b"\n")
        new.chmod(0o600)
        new.rename(folder / SIGNATURES)
        sync(folder)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise BundleError(f"cannot sign the bundle in {folder}: {error.strerror or error}") from error
