"""Roles: which of the five words that say what a key may do contain which; nothing else decides it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from servable.domain.endpoint import Role

GRANTS: Final[dict[Role, frozenset[Role]]] = {
    "viewer": frozenset({"viewer"}),
    "invoker": frozenset({"invoker", "viewer"}),
    "feedback": frozenset({"feedback"}),
    "deployer": frozenset({"deployer", "viewer"}),
    "admin": frozenset({"viewer", "invoker", "feedback", "deployer", "admin"}),
}
"""A role to all that it grants. viewer: read what is served and how it does. invoker: ask for predictions. feedback:
send outcomes. deployer: load, unload and release. admin: all of these, and change how the server runs."""

ROLES: Final[tuple[Role, ...]] = tuple(GRANTS)


def granted(roles: Iterable[Role]) -> frozenset[Role]:
    """All that these roles grant together.

    >>> sorted(granted(["invoker", "feedback"]))
    ['feedback', 'invoker', 'viewer']
    """
    return frozenset[Role]().union(*(GRANTS[role] for role in roles))
