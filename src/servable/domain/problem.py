"""Problem: an error of ours on its way between processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from servable.errors import MissingExtra, ServableError


class Problem(msgspec.Struct, frozen=True):
    """Its code, message and detail."""

    code: str
    message: str
    detail: dict[str, Any] = {}

    @staticmethod
    def of(error: ServableError) -> Problem:
        """The error as a message."""
        return Problem(error.code, error.message, error.detail)

    def error(self) -> ServableError:
        """The message as an error of the same code; one of an unknown code is a plain ServableError."""
        kinds: dict[str, type[ServableError]] = {}
        for kind in _tree(ServableError):
            if kind is not MissingExtra:
                kinds.setdefault(kind.code, kind)  # a kind of somebody's own has the code of the one it refines
        found = kinds.get("environment" if self.code == MissingExtra.code else self.code, ServableError)
        return found(self.message, **self.detail)


def _tree(kind: type[ServableError]) -> Iterator[type[ServableError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)
