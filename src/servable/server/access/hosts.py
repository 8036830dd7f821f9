"""Which hosts we answer for, and which pages may call us: the defence against what a browser can be tricked into.

A page that points its own name at 127.0.0.1 (DNS rebinding) is refused by its Host header, one that posts across
origins by its Origin. Keys are no help where none are demanded. Only our own pages may call us, and those of
`allowed_origins` the few routes that a model on a device needs (CORS). Called by every HTTP door, first of all.
"""

from __future__ import annotations

import re
from typing import Final

from servable.errors import Forbidden, UnsupportedMedia
from servable.server.access.access import is_loopback
from servable.settings import Settings

LOOPBACK: Final = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})
SAFE_METHODS: Final = frozenset({b"GET", b"HEAD"})
WITHOUT_ASKING: Final = (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data")
"""Content types that a browser sends across origins without asking first, as if they were a form."""
MEMORY: Final = 1024
FOR_PAGES: Final = re.compile(r"/v2/models/[^/]+/(?:versions/[^/]+/)?(?:infer|feedback|records)")
"""Paths that pages of `allowed_origins` may post to."""


class Hosts:
    """The judge of Host and Origin headers. Remembers its judgements, as a connection's requests repeat them."""

    def __init__(self, settings: Settings) -> None:
        names = {host.lower().encode() for host in settings.allowed_hosts}
        self._any = b"*" in names or not (names or is_loopback(settings.host))
        bound = settings.host.lower().encode()
        self._names = names | LOOPBACK | {b"[%b]" % bound if b":" in bound else bound}
        self._origins = frozenset(origin.lower().rstrip("/").encode() for origin in settings.allowed_origins)
        self._known: dict[bytes, bool] = {}

    def allows(self, host: bytes) -> bool:
        """Whether a Host header is one of ours: of the address bound, or in `allowed_hosts`. Any port will do.

        Bound to more than loopback and with no list, all are: there keys are demanded, which no page has. No Host at
        all is well too (HTTP/1.0): no browser calls so.
        """
        known = self._known.get(host)
        if known is None:
            known = self._any or not host or _name(host) in self._names
            if len(self._known) >= MEMORY:
                self._known.clear()
            self._known[host] = known
        return known

    def shares(self, path: str, origin: bytes) -> bool:
        """Whether a page of this origin may post to this path, and read what is answered."""
        return origin.lower() in self._origins and FOR_PAGES.fullmatch(path) is not None

    def check(self, method: bytes, host: bytes, origin: bytes, content_type: bytes, path: str = "") -> None:
        """Raise Forbidden, or UnsupportedMedia, for a call that a strange page may have made. Absent headers are empty.

        A WebSocket opens with GET and is no safe method: pass its method as empty.
        """
        if not self.allows(host):
            raise Forbidden(
                f"Host {_shown(host)} is not one of ours: call us by the address we are bound to, "
                "or add the name to allowed_hosts"
            )
        if not origin or method in SAFE_METHODS:
            return
        if origin.lower().partition(b"://")[2] != host.lower() and not self.shares(path, origin):
            raise Forbidden(f"a page of {_shown(origin)} may not call this server (Host {_shown(host)}): "
                            "see allowed_origins")  # fmt: skip
        if content_type.lower().startswith(WITHOUT_ASKING):
            raise UnsupportedMedia(f"a page must say what it sends: application/json, not {_shown(content_type)}")


def _name(host: bytes) -> bytes:
    """The Host header's name without its port and the root's dot."""
    name, _, port = host.rpartition(b":")
    if not name or not port.isdigit():
        name = host
    return name.lower().removesuffix(b".")


def _shown(value: bytes) -> str:
    return repr(value[:80].decode("latin-1"))
