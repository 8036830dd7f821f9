"""What goes to a desktop is all that it needs, and needs nothing that is not there."""

from __future__ import annotations

import sys

from servable.edge.carried import carried, imported
from servable.edge.desktop import LIBRARIES, _code

THERE = {"numpy", "onnxruntime", "servable", *LIBRARIES}


def test_all_that_is_imported_is_there() -> None:
    code = _code()
    needed = {name.partition(".")[0] for source in code.values() for name in imported(source)}
    assert needed - THERE - set(sys.stdlib_module_names) == set()
    assert {f"{library}.py" for library in LIBRARIES} | {"__main__.py"} <= code.keys()


def test_a_module_brings_its_packages_and_what_it_imports() -> None:
    found = carried(["servable.wire.rows"])
    assert {"servable/__init__.py", "servable/wire/__init__.py", "servable/wire/rows.py", "servable/errors.py"} <= (
        found.keys()
    )
    assert not any(path.startswith("servable/server/") for path in found)
