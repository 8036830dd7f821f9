"""What the registry answers over HTTP, below `/admin`: the same acts as `servable models`, under the caller's name.

A door comes here only when it is asked for one of these; the registry is opened then, and works on a thread. What is
changed reaches the server as every change of the registry does: it follows it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from servable.domain.endpoint import ANY, Endpoint
from servable.domain.ref import Ref
from servable.errors import InvalidInput
from servable.wire.json_object import json_object

if TYPE_CHECKING:
    from servable.registry.registry import Registry

_MODEL: Final = "/admin/models/{model}"
_VERSION: Final = f"{_MODEL}/versions/{{version}}"
LIST: Final = Endpoint(
    "GET", "/admin/models", "viewer", "registry", "Every name of the registry, with its versions", answer=ANY
)
SHOW: Final = Endpoint("GET", _MODEL, "viewer", "registered", "A name, its aliases and versions")
HISTORY: Final = Endpoint("GET", f"{_MODEL}/history", "viewer", "history", "All that was ever done to a name")
REGISTER: Final = Endpoint(
    "POST", f"{_MODEL}/versions", "deployer", "register", "Take in a bundle, as a tar, as the next version", ANY
)
VERSION: Final = Endpoint("GET", _VERSION, "viewer", "registered_version", "A version (a number or an alias)")
VERDICTS: Final = Endpoint("GET", f"{_VERSION}/verdicts", "viewer", "verdicts", "What checks said of a version")
TAGS: Final = Endpoint("PUT", f"{_VERSION}/tags", "deployer", "tag", "Set tags, or with null take them away", ANY)
DELETE: Final = Endpoint("DELETE", _VERSION, "deployer", "delete", "Take a version out; its number stays taken")
ALIAS: Final = Endpoint("PUT", f"{_MODEL}/aliases/{{alias}}", "deployer", "alias", "Point an alias at a version", ANY)
UNALIAS: Final = Endpoint("DELETE", f"{_MODEL}/aliases/{{alias}}", "deployer", "unalias", "Take an alias away")

Handler = Callable[[Request, bytes], Awaitable[Response]]


class Caller(Protocol):
    """Who calls."""

    @property
    def name(self) -> str:
        """The name of the key, which acts are written down under."""
        ...

    def sees(self, model: str) -> bool:
        """Whether this model is one of theirs."""
        ...


def routes(registry: Callable[[], Registry], caller: Callable[[Request], Caller]) -> Iterator[tuple[Endpoint, Handler]]:
    """`registry` opens it, which may take the time of an import; `caller` tells who sent a request."""
    work = _Routes(registry, caller)
    yield LIST, work.list
    yield SHOW, work.show
    yield HISTORY, work.history
    yield REGISTER, work.register
    yield VERSION, work.version
    yield VERDICTS, work.verdicts
    yield TAGS, work.tags
    yield DELETE, work.delete
    yield ALIAS, work.alias
    yield UNALIAS, work.unalias


class _Routes:
    def __init__(self, registry: Callable[[], Registry], caller: Callable[[Request], Caller]) -> None:
        self._registry = registry
        self._caller = caller

    async def list(self, request: Request, _: bytes) -> Response:
        caller = self._caller(request)

        def work(registry: Registry) -> Any:
            from servable.registry.told import model_told

            return [model_told(model) for name, model in registry.catalog().living.items() if caller.sees(name)]

        return await self._done(request, work)

    async def show(self, request: Request, _: bytes) -> Response:
        def work(registry: Registry) -> Any:
            from servable.registry.told import model_told

            return model_told(registry.catalog().model(request.path_params["model"]))

        return await self._done(request, work)

    async def history(self, request: Request, _: bytes) -> Response:
        def work(registry: Registry) -> Any:
            from servable.registry.told import event_told

            return [event_told(event) for event in registry.history(request.path_params["model"])]

        return await self._done(request, work)

    async def register(self, request: Request, body: bytes) -> Response:
        def work(registry: Registry) -> Any:
            from servable.bundles.archive import unpack
            from servable.bundles.open import open_bundle

            name = request.path_params["model"]
            with tempfile.TemporaryDirectory(prefix="servable-upload-") as folder:
                unpack(body, Path(folder) / "bundle")
                found = open_bundle(Path(folder) / "bundle").name
                if found != name:
                    raise InvalidInput(f"the bundle is of {found!r}: send it to /admin/models/{found}/versions")
                return _told(registry, Ref(name, registry.register(Path(folder) / "bundle").version))

        return await self._done(request, work, 201)

    async def version(self, request: Request, _: bytes) -> Response:
        return await self._done(request, lambda registry: _told(registry, _ref(request)))

    async def verdicts(self, request: Request, _: bytes) -> Response:
        def work(registry: Registry) -> Any:
            from servable.registry.told import judgement_told

            return [judgement_told(judgement) for judgement in registry.verdicts(_ref(request))]

        return await self._done(request, work)

    async def tags(self, request: Request, body: bytes) -> Response:
        tags = json_object(body, {"stage": "production", "old": None})
        if not all(isinstance(value, (str, type(None))) for value in tags.values()):
            raise InvalidInput("tags: expected texts, or null to take one away", example={"stage": "production"})

        def work(registry: Registry) -> Any:
            ref = _ref(request)
            registry.untag(ref, [key for key, value in tags.items() if value is None])
            registry.tag(ref, {key: value for key, value in tags.items() if value is not None})
            return _told(registry, ref)

        return await self._done(request, work)

    async def delete(self, request: Request, _: bytes) -> Response:
        def work(registry: Registry) -> Any:
            return [{"name": gone.name, "version": gone.version} for gone in registry.delete(_ref(request))]

        return await self._done(request, work)

    async def alias(self, request: Request, body: bytes) -> Response:
        example = {"version": "3", "override": None}
        asked = json_object(body, example)
        version, override = asked.get("version"), asked.get("override")
        if not isinstance(version, (str, int)) or not isinstance(override, (str, type(None))):
            raise InvalidInput("expected a 'version', and as 'override' a reason or nothing", example=example)

        def work(registry: Registry) -> Any:
            name = request.path_params["model"]
            registry.alias(name, request.path_params["alias"], str(version), override)
            return _told(registry, Ref(name, str(version)))

        return await self._done(request, work)

    async def unalias(self, request: Request, _: bytes) -> Response:
        def work(registry: Registry) -> Any:
            registry.unalias(request.path_params["model"], request.path_params["alias"])
            return {}

        return await self._done(request, work)

    async def _done(self, request: Request, work: Callable[[Registry], Any], status: int = 200) -> Response:
        """The answer of some work with the registry, done on a thread in the caller's name."""
        who = self._caller(request).name
        told = await asyncio.to_thread(lambda: work(self._registry().acting(who)))
        return Response(orjson.dumps(told), status, media_type="application/json")


def _told(registry: Registry, ref: Ref) -> dict[str, Any]:
    from servable.registry.told import version_told

    catalog = registry.catalog()
    return version_told(catalog.find(ref), catalog.model(ref.name))


def _ref(request: Request) -> Ref:
    """A version by its number, or by an alias."""
    name, version = request.path_params["model"], request.path_params["version"]
    return Ref(name, version) if version.isdigit() else Ref(name, alias=version)
