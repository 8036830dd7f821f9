"""The stand-ins do what the libraries do, on everything that is asked of them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import msgspec
import numpy as np
import orjson
import pytest

from servable.bundles.load import Predictor
from servable.edge.program.bare import msgspec as bare_msgspec
from servable.edge.program.bare import orjson as bare_orjson
from servable.edge.program.bare import simdjson

TEXTS = [
    "1", "-0", "-0.0", "1e5", "1E-400", "0.1", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
    "123456789012345678901234567890", "[1, 2.5, null, true]", '{"a": [], "a": {"b": "\\u00e9\\ud83d\\ude42"}}', '"é"',
]  # fmt: skip
BROKEN = [
    "", "{", "[1,]", "NaN", "-Infinity", "1e400", "1" * 5000, '"\\ud800"', '"\n"', "\ufeff1", "[" * 100_000, "01",
]  # fmt: skip
VALUES: list[Any] = [
    np.array([0.1, 1 / 3, 1e-7, 3.4e38, np.nan, np.inf], np.float32), np.array([0.1, 65504], np.float16),
    np.array([0.1, 5e-324]), np.array([[1, 2], [3, 4]]), np.array([2**64 - 1], np.uint64), np.array([True, False]),
    np.empty((0, 2), np.float32), "é\n\"\u2028", {"a": [1, None, float("nan")], "b": ("x", 1.5, True)}, 2**53,
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_read_alike(text: str) -> None:
    want = orjson.loads(text)
    for data in (text, text.encode(), memoryview(text.encode())):
        found = bare_orjson.loads(data)
        assert (found, type(found)) == (want, type(want))


@pytest.mark.parametrize("text", BROKEN)
def test_broken_texts_are_refused_alike(text: str) -> None:
    for library in (orjson, bare_orjson):
        with pytest.raises(library.JSONDecodeError):
            library.loads(text.encode())
    with pytest.raises(bare_orjson.JSONDecodeError):
        bare_orjson.loads(b'"\xff"')


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values_are_written_alike(value: Any) -> None:
    want = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    found = bare_orjson.dumps(value, option=bare_orjson.OPT_SERIALIZE_NUMPY)
    assert orjson.loads(found) == orjson.loads(want)
    assert found == want or b"e" in want  # exponents are written 1e-07 by one, 1e-7 by the other


def test_what_is_no_json_needs_a_default() -> None:
    for library in (orjson, bare_orjson):
        assert library.dumps({"at": Path("x")}, default=str) == b'{"at":"x"}'
        with pytest.raises(TypeError):
            library.dumps(Path("x"))


def structs(library: ModuleType | Any) -> Any:
    class Inner(library.Struct, frozen=True):
        name: str
        values: tuple[float, ...] = ()

    class Outer(library.Struct, frozen=True, forbid_unknown_fields=True):
        action: Literal["clip", "flag"]
        bound: float | None = None
        to: float | str | None = None
        pair: tuple[int, str] = (1, "a")
        inner: tuple[Inner, ...] = ()
        more: dict[str, list[Inner]] = {}  # noqa: RUF012 - either library makes it anew for each
        anything: Any = None

    Outer.__annotations__ |= {"inner": tuple[Inner, ...], "more": dict[str, list[Inner]]}
    return Outer


GOOD = [
    '{"action": "clip"}',
    '{"action": "flag", "bound": 3, "to": "x", "pair": [2, "b"], "inner": [{"name": "n", "values": [1, 2.5]}]}',
    '{"action": "flag", "to": 1, "more": {"k": [{"name": "n"}]}, "anything": {"a": [1]}}',
]
BAD = ['{"action": "other"}', "{}", '{"action": "clip", "odd": 1}', '{"action": "clip", "bound": "x"}', "[", "[1]"]


def plain(value: Any) -> Any:
    fields = getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", None)
    if fields is not None:
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, (list, tuple)) else (type(value), value)


def test_structs_are_read_alike() -> None:
    theirs, ours = structs(msgspec), structs(bare_msgspec)
    for text in GOOD:
        want, found = (
            lib.json.decode(text.encode(), type=kind) for lib, kind in ((msgspec, theirs), (bare_msgspec, ours))
        )
        assert plain(found) == plain(want)
        one, other = (bare_msgspec.structs.replace(found, more=(), anything=None) for _ in "ab")
        assert (one, hash(one)) == (other, hash(other))
        with pytest.raises(AttributeError):
            found.bound = 1.0
    assert ours("clip").more is not ours("clip").more
    for text in BAD:
        with pytest.raises(msgspec.MsgspecError):
            msgspec.json.decode(text.encode(), type=theirs)
        with pytest.raises(bare_msgspec.MsgspecError):
            bare_msgspec.json.decode(text.encode(), type=ours)


def test_nothing_is_read_quickly(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="no quick parser"):
        simdjson.Parser().parse(b"[1]")
