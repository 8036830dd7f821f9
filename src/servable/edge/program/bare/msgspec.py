"""In the place of msgspec: structs as dataclasses, and a JSON text to one."""

from __future__ import annotations

import dataclasses
import json as plain_json
import types
from types import SimpleNamespace
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

_MUTABLE: Final = (dict, list, set)


class MsgspecError(Exception):
    """As the library's."""


class ValidationError(MsgspecError):
    """A value is not of its type."""


class Struct:
    """A dataclass, whose defaults of `{}` and `[]` are made anew for each."""

    def __init_subclass__(cls, *, frozen: bool = False, **_: Any) -> None:
        """Only whether it is frozen matters to whoever reads: how it is written, does not."""
        for name in cls.__annotations__:
            default = cls.__dict__.get(name)
            if isinstance(default, _MUTABLE):
                setattr(cls, name, dataclasses.field(default_factory=default.copy))
        dataclasses.dataclass(frozen=frozen)(cls)


def _decode(data: bytes, *, type: Any = Any) -> Any:  # noqa: A002 - the library's word
    """The value of a JSON text, as a type. Raises ValidationError."""
    try:
        return _as(plain_json.loads(data), type)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def _as(value: Any, kind: Any) -> Any:
    """The value as that type. Raises ValidationError."""
    origin, given = get_origin(kind), get_args(kind)
    if kind is Any or (origin is Literal and value in given):
        return value
    if origin in {Union, types.UnionType}:
        return _as_one_of(value, given)
    if origin in {tuple, list} and isinstance(value, list):
        inner = given if origin is tuple and given[-1] is not Ellipsis else (given[0],) * len(value)
        return origin(_as(each, one) for each, one in zip(value, inner, strict=True))
    if origin is dict and isinstance(value, dict):
        return {name: _as(each, given[1]) for name, each in value.items()}
    if kind in {None, type(None)} and value is None:
        return None
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(kind, type) and origin is None:
        if issubclass(kind, Struct) and isinstance(value, dict):
            return _as_struct(value, kind)
        if type(value) is kind:
            return value
    raise ValidationError(f"expected {kind}, got {value!r:.80}")


def _as_one_of(value: Any, kinds: tuple[Any, ...]) -> Any:
    """A value of the very type before one that could be made of it."""
    for kind in sorted(kinds, key=lambda kind: kind is not type(value)):
        try:
            return _as(value, kind)
        except ValidationError:
            continue
    raise ValidationError(f"expected one of {kinds}, got {value!r:.80}")


def _as_struct(value: dict[str, Any], kind: type[Struct]) -> Struct:
    hints = get_type_hints(kind)
    try:
        return kind(**{name: _as(each, hints[name]) for name, each in value.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise ValidationError(f"{kind.__name__}: {error}") from error


json = SimpleNamespace(decode=_decode)
structs = SimpleNamespace(replace=dataclasses.replace)
