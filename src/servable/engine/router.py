"""Router: the Route of a name gives the version that answers. Nothing is computed here."""

from __future__ import annotations

import difflib

from servable.domain.route import Route
from servable.engine.host import Entry, Host
from servable.engine.serving import Serving
from servable.errors import NotFound, NotReady

SHOWN = 20
"""Names or versions listed in a message, at the most."""


class Router:
    """Finds the Serving for a request, or says what there is instead."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def pick(self, name: str, version: str | None = None, request_id: str = "", unit: str = "") -> Serving:
        """The version that answers: the one named (by number or alias), or the Route's choice: for what the caller
        calls itself (`unit`), or if it does not for this request's id.

        Raises NotFound for what nobody wants served, NotReady (503) for what is wanted and not there.
        """
        entry = self._host.table.get(name)
        if entry is None:
            raise self._absent(name, version)
        if version is None:
            front = entry.front
            serving = entry.versions.get(entry.route.live) if front is None else front.choose(request_id, unit)
        else:
            serving = entry.versions.get(entry.aliases.get(version, version))
        if serving is None:
            raise self._absent(name, version, entry)
        return serving

    def route(self, name: str) -> Route:
        """The Route of a name that is served. Raises as `pick`."""
        entry = self._host.table.get(name)
        if entry is None:
            raise self._absent(name, None)
        return entry.route

    def _absent(self, name: str, version: str | None, entry: Entry | None = None) -> NotFound | NotReady:
        state = self._host.state_of(name, version)
        if state is not None and state.state == "LOADING":
            return NotReady(f"model {name!r} is loading: ask again", retry_after_s=1.0, model=name)
        if state is not None:
            return NotReady(
                f"model {name!r} version {state.version!r} is not available: {state.reason}",
                retry_after_s=5.0,
                model=name,
            )
        if entry is not None:
            known = _listed([*entry.versions, *entry.aliases])
            return NotFound(f"model {name!r} has no version or alias {version!r}: it serves {known}", model=name)
        names = list(self._host.table)
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}? There is" if near else "there is"
        return NotFound(f"no model {name!r} is served: {hint} {_listed(names)}", model=name)


def _listed(names: list[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
