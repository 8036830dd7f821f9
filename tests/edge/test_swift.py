"""The sources for iOS are Swift by its grammar. No compiler of it can be had here: types and names stay untried."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import as_file, files
from typing import Any

import pytest

pytestmark = pytest.mark.platforms


def faults(source: bytes) -> list[tuple[int, int]]:
    """Where the grammar is broken, by line and column from 0."""
    try:
        parser, grammar = import_module("tree_sitter"), import_module("tree_sitter_swift")
    except ImportError as error:
        pytest.fail(f"{error.name} is needed: run  make test-platforms")
    found = []
    left: list[Any] = [parser.Parser(parser.Language(grammar.language())).parse(source).root_node]
    while left:
        node = left.pop()
        if node.type == "ERROR" or node.is_missing:
            found.append((node.start_point.row, node.start_point.column))
        left += node.children
    return found


def test_every_source_follows_the_grammar() -> None:
    with as_file(files("servable.edge") / "phone" / "ios") as place:
        sources = sorted(place.rglob("*.swift"))
        assert len(sources) == 6
        for source in sources:
            assert faults(source.read_bytes()) == [], source.name
        model = (place / "Sources" / "Model" / "Model.swift").read_text()
    assert faults(model.replace("{", "", 1).encode())
