"""Where a model can go, by name: a file each, and a line here, for the export and for its command.

What stands behind a name is imported when it is asked for: a command line that only tells the names imports none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from servable.errors import UsageError

if TYPE_CHECKING:
    from servable.edge.target import Target


class Place(NamedTuple):
    """`module` is the file of this shelf whose `TARGET` it is; `makes` is what comes of it, for people."""

    module: str
    makes: str


PLACES: Final = {
    "browser": Place("browser", "a page and an npm package"),
    "inline": Place("inline", "one page that holds everything"),
    "mobile": Place("mobile", "sources for Android and iOS around a model file"),
    "react-native": Place("react_native", "a package"),
    "desktop": Place("desktop", "a program of one file"),
    "c": Place("c_header", "a header that holds trees"),
}


def target_of(name: str) -> Target:
    """The target of that name. Raises UsageError."""
    if name not in PLACES:
        raise UsageError(f"there is no target {name!r}: expected one of {', '.join(PLACES)}")
    found: Target = import_module(f"servable.edge.{PLACES[name].module}").TARGET
    return found
