"""Ref: `name`, `name:3` (version) or `name@champion` (alias): the only way a model is named."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from servable.errors import UsageError

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
"""Names of models, versions and aliases: safe in a path, a URL, a log line and a shell."""


class Ref(msgspec.Struct, frozen=True):
    """A model by name, and at most one of a version and an alias.

    >>> Ref.parse("churn:3")
    Ref(name='churn', version='3', alias=None)
    >>> str(Ref.parse("churn@champion"))
    'churn@champion'
    """

    name: str
    version: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}:{self.version}"
        return f"{self.name}@{self.alias}" if self.alias is not None else self.name

    @staticmethod
    def of(ref: Ref | str) -> Ref:
        """A Ref, or the words for one. Raises UsageError."""
        return Ref.parse(ref) if isinstance(ref, str) else ref

    @staticmethod
    def parse(text: str) -> Ref:
        """Read a Ref. Raises UsageError that shows the three forms."""
        name, separator, rest = text, "", ""
        for mark in ":@":
            if mark in text:
                name, separator, rest = text.partition(mark)
                break
        parts = [name, rest] if separator else [name]
        if not all(NAME.fullmatch(part) for part in parts):
            raise UsageError(
                f"{text!r} does not name a model: expected NAME, NAME:VERSION or NAME@ALIAS, each of letters, digits, "
                "'_', '.' and '-', starting with a letter or digit, at most 128 long"
            )
        return Ref(name, rest if separator == ":" else None, rest if separator == "@" else None)
