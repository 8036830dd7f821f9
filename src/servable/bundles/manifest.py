"""The manifest as TOML: read with errors a person can act on, written the same way every time."""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Iterable
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec
import tomli_w

from servable.bundles.manifest_place import line_of, value_at, words_at
from servable.domain import demand
from servable.domain.bundle import Manifest
from servable.domain.rule import Rule
from servable.errors import BundleError, UsageError

T = TypeVar("T")

SCHEMA: Final = 1
"""The newest layout of a manifest that this program reads."""


def loads(data: bytes, source: str = "manifest.toml") -> Manifest:
    """Read a manifest. Raises BundleError that names the line and the key, and the nearest one there is.

    >>> loads(b'nmae = "churn"')
    Traceback (most recent call last):
    ...
    servable.errors.BundleError: manifest.toml, line 1: unknown key 'nmae': did you mean 'name'?
    """
    tree, text = _parsed(data, source)
    schema = tree.get("schema", SCHEMA)
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(f"{source} has schema {schema}, this program reads up to {SCHEMA}: install a newer servable")
    found = _converted(tree, Manifest, source, text)
    for at, check in enumerate(found.checks):
        try:
            demand.parse(check)
        except UsageError as error:
            raise BundleError(f"{_where(source, text, f'checks[{at}]')}: {error.message}") from error
    return found


def loads_rules(data: bytes, source: str) -> tuple[Rule, ...]:
    """Read a file of rules, written as in a manifest: `[[rules]]`. Raises BundleError as `loads` does."""
    tree, text = _parsed(data, source)
    return _converted(tree, _Rules, source, text).rules


def dumps_rules(rules: tuple[Rule, ...]) -> bytes:
    """Rules as `loads_rules` reads them."""
    return tomli_w.dumps(msgspec.to_builtins(_Rules(rules), builtin_types=())).encode()


class _Rules(msgspec.Struct, forbid_unknown_fields=True):
    rules: tuple[Rule, ...]


def _parsed(data: bytes, source: str) -> tuple[dict[str, Any], str]:
    try:
        text = data.decode()
        return tomllib.loads(text), text
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{source} is not valid TOML: {error}") from error


def _converted(tree: dict[str, Any], kind: type[T], source: str, text: str) -> T:
    if unknown := _unknown_key(tree, kind, ""):
        key, advice = unknown
        raise BundleError(f"{_where(source, text, key)}: unknown key {key!r}: {advice}")
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        place = where.strip("`").removeprefix("$").removeprefix(".")
        said = f"{what[0].lower()}{what[1:]}"
        if words := words_at(kind, place):
            came = value_at(tree, place)
            said = f"expected one of {', '.join(words)}, got {came!r}{_near(str(came), words)}"
        raise BundleError(f"{_where(source, text, place)}: {f'key {place!r}: ' if place else ''}{said}") from error


def _where(source: str, text: str, place: str) -> str:
    line = line_of(text, place)
    return source if line is None else f"{source}, line {line}"


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f": did you mean {near[0]!r}?" if near else ""


def dumps(manifest: Manifest) -> bytes:
    """The manifest as TOML. Equal manifests give equal bytes. Raises BundleError for a value TOML cannot hold."""
    try:
        plain = msgspec.convert(msgspec.to_builtins(manifest, builtin_types=()), Manifest)  # 120 for a float is 120.0
        return tomli_w.dumps(msgspec.to_builtins(plain, builtin_types=())).encode()
    except (TypeError, ValueError) as error:
        raise BundleError(f"the manifest of {manifest.name!r} cannot be written as TOML: {error}") from error


def _unknown_key(tree: Any, kind: Any, place: str) -> tuple[str, str] | None:
    """The first key that no struct has, wherever it is, and what to do about it."""
    struct, repeated = _struct(kind)
    if struct is None:
        return None
    if repeated:
        items = enumerate(tree if isinstance(tree, list) else ())
        found = (_unknown_key(item, struct, f"{place}[{index}]") for index, item in items)
        return next((each for each in found if each), None)
    if not isinstance(tree, dict):
        return None
    known = typing.get_type_hints(struct)
    for key, value in tree.items():
        here = f"{place}.{key}" if place else key
        if key not in known:
            return here, _near(key, known).removeprefix(": ") or f"known keys are {', '.join(known)}"
        if found_within := _unknown_key(value, known[key], here):
            return found_within
    return None


def _struct(kind: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The struct inside an annotation, and whether there is a list of it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind, False
    if get_origin(kind) is tuple and get_args(kind):
        return _struct(get_args(kind)[0])[0], True
    if get_origin(kind) in {typing.Union, types.UnionType}:
        return next((found for found in map(_struct, get_args(kind)) if found[0] is not None), (None, False))
    return None, False
