"""Access: the one choke point. Whether this caller may do this, to this model; REST, gRPC and all else ask here.

Deny by default: a call whose role nobody stated (`UNCLASSIFIED`) is refused to all. It knows no routes (`routes.py`
says which role each demands) and no protocol (the doors turn its errors into theirs).
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Final

import msgspec

from servable.domain.endpoint import Role
from servable.errors import Forbidden, Unauthenticated, UsageError
from servable.server.access.audit import Audit
from servable.server.access.keys import Key, Keys
from servable.server.access.roles import ROLES, granted
from servable.settings import Settings

UNCLASSIFIED: Final = None
"""The role of a route that nobody has given one: it is refused, keys or none."""

MEMORY: Final = 4096
"""Calls that were allowed and are remembered, so that asking again costs one look-up."""


class Principal(msgspec.Struct, frozen=True):
    """Who calls: the name of their key, what it grants, and for which models (patterns)."""

    name: str
    roles: frozenset[Role]
    models: tuple[str, ...] = ("*",)

    def sees(self, model: str) -> bool:
        """Whether this model is one of theirs. Lists show no others."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


ANONYMOUS: Final = Principal("anonymous", frozenset(ROLES))
"""Everybody, where no keys are demanded."""


class Access:
    """The judge. With `required` false everybody is ANONYMOUS and may do all that is classified."""

    def __init__(self, keys: Keys | None, *, required: bool, audit: Audit | None = None) -> None:
        self.keys = keys
        self.required = required
        self.audit = audit
        self._known: dict[tuple[str | None, Role, str | None], Principal] = {}
        self._generation = keys.generation if keys is not None else 0

    def check(
        self, token: str | None, role: Role | None, model: str | None = None, act: str = "", peer: str = ""
    ) -> Principal:
        """The caller, if they may. Raises Unauthenticated or Forbidden, and writes it down.

        `token` is the key's secret or None; `model` the name in the call, None where it concerns no single model. `act`
        and `peer` say in the audit log what was tried and from where.
        """
        if not self.required and role is not UNCLASSIFIED:
            return ANONYMOUS
        if self.keys is not None and self.keys.generation != self._generation:
            self._generation = self.keys.generation
            self._known.clear()
        if role is not UNCLASSIFIED:
            known = self._known.get((token, role, model))
            if known is not None:
                return known
        return self._judge(token, role, model, act, peer)

    def permit(self, principal: Principal, model: str, act: str = "", peer: str = "") -> None:
        """The last part of `check`, for a call whose model is known only later. Raises Forbidden."""
        if not principal.sees(model):
            self._denied(principal.name, act, peer, f"not for model {model}")
            raise Forbidden(f"key {principal.name!r} is not for model {model!r}", model=model)

    def refresh(self) -> None:
        """Take up keys made or revoked since. Call it every second."""
        if self.keys is not None:
            self.keys.refresh()

    def _judge(self, token: str | None, role: Role | None, model: str | None, act: str, peer: str) -> Principal:
        """The same with nothing remembered."""
        key = self.keys.find(token) if token and self.keys is not None else None
        principal = ANONYMOUS if not self.required else None if key is None else _principal(key)
        who = "nobody" if principal is None else principal.name
        if principal is None:
            said = "this key is not known, was revoked, or has expired" if token else "a key is needed"
            self._denied(who, act, peer, "no key" if not token else "unknown key")
            raise Unauthenticated(f"{said}: send  Authorization: Bearer KEY  (`servable keys create` makes one)")
        if role is UNCLASSIFIED:
            self._denied(who, act, peer, "unclassified route")
            raise Forbidden("this route has no role assigned to it, so nobody may use it")
        if role not in principal.roles:
            self._denied(who, act, peer, f"lacks role {role}")
            raise Forbidden(f"key {who!r} lacks the role {role!r}", role=role)
        if model is not None:
            self.permit(principal, model, act, peer)
        if len(self._known) >= MEMORY:
            self._known.clear()
        self._known[token, role, model] = principal
        return principal

    def _denied(self, who: str, act: str, peer: str, reason: str) -> None:
        if self.audit is not None:
            self.audit.denied(who, act, peer, reason)


def bearer(authorization: str, x_api_key: str = "") -> str | None:
    """The key in the value of an `Authorization: Bearer` header, else in `X-API-Key`, else None.

    >>> bearer("Bearer sv_abc"), bearer("", "sv_abc"), bearer("Basic dTpw")
    ('sv_abc', 'sv_abc', None)
    """
    if authorization[:7].lower() == "bearer ":
        return authorization[7:].strip() or None
    return x_api_key.strip() or None


def keys_required(settings: Settings, bound: Iterable[str] = ()) -> bool:
    """Whether callers must show a key: asked for, or reachable by others and not declared insecure.

    `bound` are addresses of sockets that were inherited, which no setting names.
    """
    return settings.require_key or not (settings.insecure or all(map(is_loopback, (settings.host, *bound))))


def demand_safe_binding(settings: Settings, keys: Keys | None, bound: Iterable[str] = ()) -> None:
    """Raise UsageError where keys are required and there is none: nobody could call, or, worse, everybody."""
    if not keys_required(settings, bound) or (keys is not None and keys.alive):
        return
    make = "make one with  servable keys create NAME --role invoker"
    if settings.require_key:
        raise UsageError(f"keys are demanded (require_key), and there are none: {make}")
    reachable = next(host for host in (settings.host, *bound) if not is_loopback(host))
    raise UsageError(
        f"{reachable or 'every address'} can be reached from other machines, and there are no keys: {make}, "
        "or bind 127.0.0.1, or say --insecure to let anybody in"
    )


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine only. A name other than `localhost` might mean anything: it does not.

    >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("0.0.0.0"), is_loopback("127.0.0.1.example.com")
    (True, True, False, False)
    """
    if host == "localhost" or host.startswith(("/", "unix:")):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _principal(key: Key) -> Principal:
    return Principal(key.name, granted(key.roles), key.models)
