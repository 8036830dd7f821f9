"""Which of Servable's own files some modules need: what they import, and what that imports, as source.

Imports inside functions are left out: they stand there because most callers do without them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

PACKAGE: Final = "servable"


def carried(modules: Sequence[str]) -> dict[str, bytes]:
    """Every file by its path in an archive."""
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        held = _source(module)
        if held is None or held[0] in found:
            continue  # a name within a module, or nothing new
        path, source = held
        found[path] = source
        waiting.append(module.rpartition(".")[0])
        waiting += [name for name in imported(source) if name.partition(".")[0] == PACKAGE]
    return dict(sorted(found.items()))


def imported(source: bytes) -> Iterator[str]:
    """What a source imports as it is loaded: modules, and names that may be modules."""
    waiting: list[ast.stmt] = list(ast.parse(source).body)
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.Import):
            yield from (name.name for name in each.names)
        elif isinstance(each, ast.ImportFrom) and each.module:
            yield each.module
            yield from (f"{each.module}.{name.name}" for name in each.names)
        elif isinstance(each, ast.If) and "TYPE_CHECKING" not in ast.unparse(each.test):
            waiting += [*each.body, *each.orelse]


def _source(module: str) -> tuple[str, bytes] | None:
    """Path and source; None for what is no module of ours."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    place = files(PACKAGE).joinpath(*parts[1:])
    for path in (f"{'/'.join(parts)}.py", f"{'/'.join(parts)}/__init__.py"):
        file = place / "__init__.py" if path.endswith("__init__.py") else files(PACKAGE).joinpath(*path.split("/")[1:])
        if file.is_file():
            return path, file.read_bytes()
    return None
