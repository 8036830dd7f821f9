"""Locales: by whose rules an ONNX model changes the case of texts (StringNormalizer), the same ones on every machine.

A model that names none means en_US, or, by the standard, "a platform specific equivalent". onnxruntime insists on
en_US.UTF-8, which slim machines and containers lack. C.UTF-8 comes with the C library and has the same rules for every
character, so it stands in wherever it is: such a model answers the same on all machines. Any other locale, Turkish say,
has rules of its own: it must be there. Knows nothing of onnxruntime. Source: onnx.ai, "StringNormalizer".
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import Final

from servable.errors import EnvironmentFault
from servable.runtimes.protobuf import BYTES, Part, parts, put, text_field

OPERATOR: Final = "StringNormalizer"
PLAIN: Final = "C.UTF-8"
USUAL: Final = frozenset({"", "en_US", "en_US.UTF-8", "en_US.utf8", "en-US"})
"""What names the rules that PLAIN has, too: tried for every character there is (GNU C library 2.36)."""
EVERYWHERE: Final = frozenset({"C", "POSIX", PLAIN})
_GRAPH, _NODE, _ATTRIBUTE, _STRING = 7, 1, 5, 3
_LACKING: Final = re.compile(r"Failed to construct locale with name:(.+?):")
_CASES: Final = 1 << 0
"""LC_CTYPE, as `newlocale` wants it: a mask."""


def settled(data: bytes) -> bytes:
    """The model with PLAIN in the place of every usual locale, where this machine has it; else as it is."""
    if OPERATOR.encode() not in data or not known(PLAIN):
        return data
    changed = bytearray()
    for part in parts(data):
        changed += put(_GRAPH, _graph(data, part)) if part.number == _GRAPH else data[part.begin : part.stop]
    return bytes(changed)


def special(data: bytes) -> tuple[str, ...]:
    """The locales that every machine needs which serves the model."""
    if OPERATOR.encode() not in data:
        return ()
    nodes = (node for graph in parts(data) if graph.number == _GRAPH for node in parts(data, graph.start, graph.stop))
    found = {_locale(data, node) for node in nodes if _changes_case(data, node)}
    return tuple(sorted(found - USUAL - EVERYWHERE))


def lacking(reason: str, name: str) -> EnvironmentFault | None:
    """The error of a model that wants a locale which is not here, by what onnxruntime says of it; None: not that."""
    found = _LACKING.search(reason)
    if found is None:
        return None
    locale = found[1]
    language, _, charset = locale.partition(".")
    make = f"localedef -i {language} -f {charset or 'UTF-8'} {locale}"
    return EnvironmentFault(
        f"{name!r} changes the case of texts by the rules of the locale {locale!r}, which this machine lacks: install "
        f"it (Debian: apt-get install locales, then {make}), or leave the locale out of the model's {OPERATOR}: then "
        "its rules are the same on every machine"
    )


@cache
def known(locale: str) -> bool:
    """Whether this machine has the locale."""
    try:
        make = ctypes.CDLL(None).newlocale
    except (AttributeError, OSError, TypeError):  # a system without
        return False
    make.restype, make.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    return make(_CASES, locale.encode(), None) is not None


def _graph(data: bytes, graph: Part) -> bytes:
    changed = bytearray()
    for part in parts(data, graph.start, graph.stop):
        usual = _changes_case(data, part) and _locale(data, part) in USUAL
        changed += put(_NODE, _placed(data, part)) if usual else data[part.begin : part.stop]
    return bytes(changed)


def _placed(data: bytes, node: Part) -> bytes:
    kept = [field for field in parts(data, node.start, node.stop) if not _names_locale(data, field)]
    stated = put(_ATTRIBUTE, put(1, "locale") + put(4, PLAIN) + put(20, _STRING))
    return b"".join(data[field.begin : field.stop] for field in kept) + stated


def _locale(data: bytes, node: Part) -> str:
    fields = parts(data, node.start, node.stop)
    return next((text_field(data, field, 4) for field in fields if _names_locale(data, field)), "")


def _names_locale(data: bytes, field: Part) -> bool:
    return field.number == _ATTRIBUTE and field.kind == BYTES and text_field(data, field, 1) == "locale"


def _changes_case(data: bytes, part: Part) -> bool:
    return part.number == _NODE and part.kind == BYTES and text_field(data, part, 4) == OPERATOR
