"""Consent: formats that run code as they are loaded are loaded from a bundle that says somebody agreed, or not at all.

A bundle holds the digest of every byte that is run; a bare file holds nothing of the kind, and is refused.
"""

from __future__ import annotations

from typing import Final

from servable.domain.bundle import Bundle
from servable.errors import UnsafeModel

ALLOW: Final = "allow_unsafe"
"""The manifest's option that `--allow-unsafe` writes."""


def demand(bundle: Bundle, what: str) -> None:
    """Raise UnsafeModel unless the bundle says that somebody consented to run it. `what` it is: `Python`."""
    if bundle.inferred or bundle.manifest.options.get(ALLOW) is not True:
        raise UnsafeModel(
            f"{bundle.name!r} is {what}, which runs code as soon as it is loaded, and its bundle does not say that "
            "somebody consented: pack it with --allow-unsafe"
        )


def refuse(name: str, what: str) -> UnsafeModel:
    """The error for a bare file that is `what`: to learn what it takes, one would have to run it."""
    return UnsafeModel(
        f"{name!r} is {what}, which runs code as soon as it is loaded: if you trust it, pack it with --allow-unsafe, "
        "and serve the bundle"
    )
