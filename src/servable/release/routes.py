"""What a release answers over HTTP, below `/admin/release`: the same acts as `servable release`, in the caller's name.

An act is written into the registry, then this server takes it up; others that serve from the same registry follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from servable.domain.endpoint import ANY, Endpoint
from servable.domain.ref import Ref
from servable.domain.terms import Terms
from servable.errors import InvalidInput

if TYPE_CHECKING:
    from servable.release.acts import Acts

_MODEL: Final = "/admin/release/{model}"
STATUS: Final = Endpoint("GET", _MODEL, "viewer", "release", "How a name is being released")
CANARY: Final = Endpoint("POST", f"{_MODEL}/canary", "deployer", "canary", "Give a version a share of requests", ANY)
BANDIT: Final = Endpoint("POST", f"{_MODEL}/bandit", "deployer", "bandit", "Let a bandit choose among versions", ANY)
SHADOW: Final = Endpoint("POST", f"{_MODEL}/shadow", "deployer", "shadow", "Give a version copies of all requests", ANY)
FALLBACK: Final = Endpoint("POST", f"{_MODEL}/fallback", "deployer", "fallback", "What answers on failure", ANY)
PROMOTE: Final = Endpoint("POST", f"{_MODEL}/promote", "deployer", "promote", "Make a version the live one", ANY)
ROLLBACK: Final = Endpoint("POST", f"{_MODEL}/rollback", "deployer", "rollback", "End a canary, or undo", ANY)

T = TypeVar("T")
Handler = Callable[[Request, bytes], Awaitable[Response]]


class _Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str | int | None = None
    override: str = ""

    def ref(self, name: str) -> Ref:
        """The version, by its number or an alias; without one, the name alone."""
        if self.version is None:
            return Ref(name)
        said = str(self.version)
        return Ref(name, said) if said.isdigit() else Ref(name, alias=said)


class _Canary(_Ask, frozen=True, forbid_unknown_fields=True):
    share: float = 0.05
    terms: Terms | None = None


class _Bandit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    by: str
    override: str = ""


class _Shadow(_Ask, frozen=True, forbid_unknown_fields=True):
    remove: bool = False


class _Fallback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str | None = None
    value: dict[str, Any] = {}


class _Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str = "by hand"


def routes(
    acts: Callable[[str], Acts],
    caller: Callable[[Request], str],
    follow: Callable[[str], Awaitable[object]],
    reports: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]],
) -> Iterator[tuple[Endpoint, Handler]]:
    """`acts` opens the registry for somebody; `caller` tells who sent a request; `follow(name)` makes this server take
    up what was written, and raises what keeps it from that; `reports` are those of all doors.
    """
    work = _Routes(acts, caller, follow, reports)
    yield STATUS, work.status
    yield CANARY, work.canary
    yield BANDIT, work.bandit
    yield SHADOW, work.shadow
    yield FALLBACK, work.fallback
    yield PROMOTE, work.promote
    yield ROLLBACK, work.rollback


class _Routes:
    def __init__(
        self,
        acts: Callable[[str], Acts],
        caller: Callable[[Request], str],
        follow: Callable[[str], Awaitable[object]],
        reports: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]],
    ) -> None:
        self._reports = reports
        self._acts = acts
        self._caller = caller
        self._follow = follow

    async def status(self, request: Request, _: bytes) -> Response:
        return await self._told(request)

    async def canary(self, request: Request, body: bytes) -> Response:
        asked = _read(body, _Canary, {"version": "2", "share": 0.05})
        return await self._done(
            request, lambda acts, name: acts.canary(asked.ref(name), asked.share, asked.terms, asked.override)
        )

    async def bandit(self, request: Request, body: bytes) -> Response:
        asked = _read(body, _Bandit, {"by": "choice"})
        return await self._done(request, lambda acts, name: acts.bandit(name, Ref.parse(asked.by), asked.override))

    async def shadow(self, request: Request, body: bytes) -> Response:
        asked = _read(body, _Shadow, {"version": "3"})
        return await self._done(request, lambda acts, name: acts.shadow(asked.ref(name), remove=asked.remove))

    async def fallback(self, request: Request, body: bytes) -> Response:
        asked = _read(body, _Fallback, {"to": "churn:1"})
        return await self._done(request, lambda acts, name: acts.fallback(name, asked.to, asked.value))

    async def promote(self, request: Request, body: bytes) -> Response:
        asked = _read(body, _Ask, {"version": "2"})
        return await self._done(request, lambda acts, name: acts.promote(asked.ref(name), asked.override or None))

    async def rollback(self, request: Request, body: bytes) -> Response:
        asked = _read(body, _Rollback, {"reason": "it answers nonsense"})
        return await self._done(request, lambda acts, name: acts.rollback(name, asked.reason))

    async def _done(self, request: Request, act: Callable[[Acts, str], object]) -> Response:
        """Act, take it up, and tell how it stands now. What cannot be taken up is undone, and told."""
        name = request.path_params["model"]
        who = self._caller(request)
        await asyncio.to_thread(lambda: act(self._acts(who), name))
        await self._follow(name)
        return await self._told(request)

    async def _told(self, request: Request) -> Response:
        from servable.release.seen import seen
        from servable.release.told import release_told

        name, who = request.path_params["model"], self._caller(request)
        told = await asyncio.to_thread(lambda: release_told(self._acts(who), name))
        told["seen"] = seen(await self._reports(), name)
        return Response(orjson.dumps(told), media_type="application/json")


def _read(body: bytes, kind: type[T], example: dict[str, Any]) -> T:
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(f"the body: {error}", example=example) from error
