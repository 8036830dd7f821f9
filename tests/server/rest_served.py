"""An HTTP door with real models behind it, on a free port, in a thread of its own, for ordinary clients to call."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn
from starlette.routing import BaseRoute

from servable.domain.endpoint import Endpoint
from servable.engine.host import Host
from servable.engine.loading import load
from servable.engine.router import Router
from servable.server.access.access import Access
from servable.server.access.audit import Audit
from servable.server.access.hosts import Hosts
from servable.server.access.keys import Keys
from servable.server.http.infer import Inference
from servable.server.http.limited import DoorState
from servable.server.http.parts import Offer, Parts
from servable.server.http.protocol import DoorProtocol
from servable.server.http.rest import RestDoor
from servable.server.http.shortcut import Shortcuts
from servable.server.report import Report
from servable.settings import Settings
from tests.server.declared import Files


class Served:
    """What a test may reach of a door that is open."""

    def __init__(self, host: Host, repository: Files, access: Access, rest: RestDoor, home: Path) -> None:
        self.host = host
        self.repository = repository
        self.access = access
        self.rest = rest
        self.home = home
        self.url = ""
        self.loop = asyncio.get_running_loop()
        self.stop = asyncio.Event()
        self.http = httpx.Client()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something on the door's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(self.url + path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.http.post(self.url + path, **more)


@contextlib.contextmanager
def served(
    home: Path,
    models: Mapping[str, Mapping[str, Path]],
    *,
    offers: Iterable[Offer] | Callable[[Parts], Iterable[Offer]] = (),
    routes: Iterable[BaseRoute] = (),
    endpoints: Iterable[Endpoint] = (),
    shortcuts: Callable[[Parts], Shortcuts] | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """A door with these models: name to version to file. `require_key=True` asks for the keys in `home`.

    `offers` may be what makes them of the door's parts.
    """
    chosen = Settings(home=str(home), **settings)
    ready = threading.Event()
    made: list[Served | BaseException] = []
    rows = (offers, tuple(routes), tuple(endpoints), shortcuts)
    thread = threading.Thread(target=_run, args=(chosen, models, *rows, made, ready))
    thread.start()
    ready.wait(60)
    if not made or isinstance(made[0], BaseException):
        raise RuntimeError("the door did not open") from (made[0] if made else None)
    door = made[0]
    try:
        yield door
    finally:
        door.http.close()
        door.loop.call_soon_threadsafe(door.stop.set)
        thread.join(30)


def _run(
    settings: Settings,
    models: Mapping[str, Mapping[str, Path]],
    offers: Iterable[Offer] | Callable[[Parts], Iterable[Offer]],
    routes: Sequence[BaseRoute],
    endpoints: Sequence[Endpoint],
    shortcuts: Callable[[Parts], Shortcuts] | None,
    made: list[Any],
    ready: threading.Event,
) -> None:
    try:
        asyncio.run(_serve(settings, models, offers, routes, endpoints, shortcuts, made, ready))
    except BaseException as error:
        made.insert(0, error)
        ready.set()
        raise


async def _serve(
    settings: Settings,
    models: Mapping[str, Mapping[str, Path]],
    offers: Iterable[Offer] | Callable[[Parts], Iterable[Offer]],
    routes: Sequence[BaseRoute],
    endpoints: Sequence[Endpoint],
    shortcuts: Callable[[Parts], Shortcuts] | None,
    made: list[Any],
    ready: threading.Event,
) -> None:
    host = Host(load)
    repository = Files(host, models)
    await repository.converge()
    router = Router(host)
    access = Access(Keys(settings.home_path), required=settings.require_key, audit=Audit(settings.home_path))
    inference = Inference(router, access, settings)
    report = Report(host, 0, None)

    async def doors() -> list[dict[str, Any]]:
        return [report.snapshot()]

    parts = Parts(router, host, access, repository, inference, settings, doors)
    rest = RestDoor(parts, tuple(offers(parts) if callable(offers) else offers), routes, endpoints)
    door = Served(host, repository, access, rest, settings.home_path)
    state = DoorState(inference, Hosts(settings), settings, None if shortcuts is None else shortcuts(parts))
    config = uvicorn.Config(
        rest.app,
        port=0,
        http=cast("type[asyncio.Protocol]", functools.partial(DoorProtocol, state)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    door.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    made.append(door)
    ready.set()
    await door.stop.wait()
    server.should_exit = True
    await serving
    await host.drain(5)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
