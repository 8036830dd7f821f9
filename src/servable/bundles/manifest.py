"""The manifest as TOML: read with errors a person can act on, written the same way every time."""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec
import tomli_w

from servable.domain.bundle import Manifest
from servable.domain.rule import Rule
from servable.errors import BundleError

T = TypeVar("T")

SCHEMA: Final = 1
"""The newest layout of a manifest that this program reads."""


def loads(data: bytes, source: str = "manifest.toml") -> Manifest:
    """Read a manifest. Raises BundleError that names the key, and the nearest one there is.

    >>> loads(b'nmae = "churn"')
    Traceback (most recent call last):
    ...
    servable.errors.BundleError: manifest.toml: unknown key 'nmae': did you mean 'name'?
    """
    tree = _parsed(data, source)
    schema = tree.get("schema", SCHEMA)
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(f"{source} has schema {schema}, this program reads up to {SCHEMA}: install a newer servable")
    return _converted(tree, Manifest, source)


def loads_rules(data: bytes, source: str) -> tuple[Rule, ...]:
    """Read a file of rules, written as in a manifest: `[[rules]]`. Raises BundleError as `loads` does."""
    return _converted(_parsed(data, source), _Rules, source).rules


def dumps_rules(rules: tuple[Rule, ...]) -> bytes:
    """Rules as `loads_rules` reads them."""
    return tomli_w.dumps(msgspec.to_builtins(_Rules(rules), builtin_types=())).encode()


class _Rules(msgspec.Struct, forbid_unknown_fields=True):
    rules: tuple[Rule, ...]


def _parsed(data: bytes, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{source} is not valid TOML: {error}") from error


def _converted(tree: dict[str, Any], kind: type[T], source: str) -> T:
    _no_unknown_keys(tree, kind, "", source)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        place = where.strip("`").removeprefix("$").removeprefix(".")
        raise BundleError(f"{source}: {f'key {place!r}: ' if place else ''}{what[0].lower()}{what[1:]}") from error


def dumps(manifest: Manifest) -> bytes:
    """The manifest as TOML. Equal manifests give equal bytes. Raises BundleError for a value TOML cannot hold."""
    try:
        plain = msgspec.convert(msgspec.to_builtins(manifest, builtin_types=()), Manifest)  # 120 for a float is 120.0
        return tomli_w.dumps(msgspec.to_builtins(plain, builtin_types=())).encode()
    except (TypeError, ValueError) as error:
        raise BundleError(f"the manifest of {manifest.name!r} cannot be written as TOML: {error}") from error


def _no_unknown_keys(tree: Any, kind: Any, place: str, source: str) -> None:
    """Raise for the first key that no struct has, wherever it is."""
    struct, repeated = _struct(kind)
    if struct is None:
        return
    if repeated:
        for index, item in enumerate(tree if isinstance(tree, list) else ()):
            _no_unknown_keys(item, struct, f"{place}[{index}]", source)
        return
    if not isinstance(tree, dict):
        return
    known = typing.get_type_hints(struct)
    for key, value in tree.items():
        here = f"{place}.{key}" if place else key
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
            raise BundleError(f"{source}: unknown key {here!r}: {advice}")
        _no_unknown_keys(value, known[key], here, source)


def _struct(kind: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The struct inside an annotation, and whether there is a list of it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind, False
    if get_origin(kind) is tuple and get_args(kind):
        return _struct(get_args(kind)[0])[0], True
    if get_origin(kind) in {typing.Union, types.UnionType}:
        return next((found for found in map(_struct, get_args(kind)) if found[0] is not None), (None, False))
    return None, False
