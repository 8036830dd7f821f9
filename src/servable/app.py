"""The one file that wires everything: which parts a door is made of, and which shelves answer through it.

`python -m servable.app --control-fd N` is a door process; the supervisor starts it. Heavy parts are imported by the
door only: the supervisor stays small.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servable.domain.problem import Problem
from servable.errors import MissingExtra, ServableError, UsageError
from servable.server.control import Channel, Failed, Start, die_with_parent
from servable.server.logs import set_up_logs
from servable.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request

    from servable.domain.batch import Batch
    from servable.domain.endpoint import Endpoint
    from servable.engine.routing.answered import Answered
    from servable.engine.serving import Serving
    from servable.monitoring.device_records import DeviceRecords
    from servable.monitoring.outcomes import Outcomes
    from servable.monitoring.record_queue import RecordQueue
    from servable.offline.lookup import Lookup
    from servable.registry.registry import Registry
    from servable.release.acts import Acts
    from servable.server.access.access import Access, Principal
    from servable.server.door import Door
    from servable.server.grpc.rpcs import Answer, Rpc
    from servable.server.http.parts import BodyHandler, Offer, Parts
    from servable.server.http.shortcut import Shortcuts


def build_door(start: Start, channel: Channel) -> Door:
    """All parts of a door, each given what it needs and nothing else."""
    import numpy as np

    from servable.engine.host import Host
    from servable.engine.lane import Limits
    from servable.engine.router import Router
    from servable.server.access.access import Access, keys_required
    from servable.server.access.audit import Audit
    from servable.server.access.hosts import Hosts
    from servable.server.access.keys import Keys
    from servable.server.door import Door
    from servable.server.http.infer import Inference
    from servable.server.http.limited import DoorState
    from servable.server.http.parts import Parts
    from servable.server.http.rest import RestDoor
    from servable.server.isolated import Loader
    from servable.server.report import Report
    from servable.server.supervised import SupervisedRepository

    # Numbers too large for a tensor are looked for and refused; numpy need not warn of them on standard error as well.
    np.seterr(over="ignore")
    settings = start.settings
    records, answers = _records(settings), _answers(settings)
    host = Host(
        Loader(channel, settings, keeps=start.slot == 0).load,
        Limits(settings.inline_ms / 1000, settings.max_queue, settings.max_elements),
        None if records is None else records.put,
        answers.put,
    )
    router = Router(host)
    keys = Keys(settings.home_path)
    access = Access(keys, required=keys_required(settings), audit=Audit(settings.home_path))
    repository = SupervisedRepository(channel)
    inference = Inference(router, access, settings)
    hosts = Hosts(settings)
    parts = Parts(router, host, access, repository, inference, settings, repository.doors)
    lookup = _lookup(parts)
    more = dict if lookup is None else partial(_counted, lookup, settings)
    report = Report(host, start.slot, records, answers, more)
    rest = RestDoor(parts, shelves(parts, lookup))
    grpc = None
    if start.grpc_fds:
        from servable.server.grpc.door import GrpcDoor

        grpc = GrpcDoor(
            router, host, access, repository, settings, [] if lookup is None else list(_rpcs(lookup, access))
        )
    return Door(
        start,
        channel,
        host,
        DoorState(inference, hosts, settings, None if lookup is None else _shortcuts(lookup, access, settings)),
        rest.app,
        grpc,
        report.snapshot,
        access.refresh,
    )


def shelves(parts: Parts, lookup: Lookup | None = None) -> list[Offer]:
    """What the shelves answer over HTTP, each given the parts of the door that it needs.

    A shelf's `routes.py` gives pairs of an Endpoint and its handler, and does not know the server.
    """
    from servable.server.http.guard import caller_of
    from servable.server.http.parts import Offer

    pairs = [
        *_online_and_outcomes(parts, lambda request: caller_of(request).name),
        *(() if lookup is None else _offline(parts, lookup)),
        *_registry(parts.settings, caller_of),
        *_release(parts, lambda request: caller_of(request).name),
    ]
    return [Offer(*pair) for pair in pairs]


def _online_and_outcomes(parts: Parts, caller: Callable[[Request], str]) -> Iterable[tuple[Endpoint, BodyHandler]]:
    """Outcomes are taken for every model; one that learns is taught by them."""
    from servable.monitoring import routes as monitoring
    from servable.monitoring.intake import Intake
    from servable.monitoring.json_lines import JsonLines
    from servable.online import routes

    def pupil(name: str) -> routes.Pupil | None:
        """What learns by what is told of a name: its live version, or the bandit that chooses among its versions."""
        serving: Serving | None = parts.router.pick(name)
        bandit = parts.router.route(name).bandit
        if bandit is not None:
            serving = parts.host.find(bandit)
        teacher = None if serving is None else getattr(serving.lane.model, "teacher", None)
        if serving is None or teacher is None:
            return None

        def decode(body: bytes) -> tuple[Batch, dict[str, Any]]:
            inquiry, document = serving.codec.read(body)
            return inquiry.batch, document

        return routes.Pupil(teacher, serving.signature, decode, serving.name, serving.version)

    teach = routes.feedback(pupil, caller)

    def asked(name: str) -> monitoring.Asked:
        serving, learns = parts.router.pick(name), pupil(name) is not None
        kept = parts.router.route(name).outcomes
        return monitoring.Asked(serving.version, serving.signature, kept, teach if learns else None)

    outcomes = cache(partial(_outcomes, parts.settings))
    devices, lines = cache(partial(_devices, parts.settings)), cache(partial(JsonLines.at, parts.settings.record_file))
    yield from monitoring.routes(Intake(outcomes), asked, caller, devices, lines)
    yield from routes.routes(pupil, caller, parts.inference.new_id)


def _outcomes(settings: Settings) -> Outcomes:
    """Opens the store of outcomes."""
    from servable.monitoring.outcomes import Outcomes

    return Outcomes.at(settings.registry_url, settings.home_path, settings.outcomes_days)


def _devices(settings: Settings) -> DeviceRecords:
    """Opens the store of what devices answered."""
    from servable.monitoring.device_records import DeviceRecords

    return DeviceRecords.at(settings.registry_url, settings.home_path, settings.outcomes_days)


def _answers(settings: Settings) -> RecordQueue[Answered]:
    """Answers on their way to where they wait for their outcomes."""
    from servable.monitoring.answers import BURST, Answers
    from servable.monitoring.record_queue import RecordQueue

    return RecordQueue(Answers(cache(partial(_outcomes, settings))), BURST, asyncio.get_running_loop().call_later)


def _registry(settings: Settings, caller: Callable[[Request], Principal]) -> Iterable[tuple[Endpoint, BodyHandler]]:
    from servable.registry import routes

    @cache
    def registry() -> Registry:
        from servable.registry.registry import Registry

        return Registry.of(settings)

    return routes.routes(registry, caller)


def _lookup(parts: Parts) -> Lookup | None:
    """Tables of answers; None where no store for them is installed."""
    import orjson

    from servable.offline.lookup import Lookup
    from servable.stores.tables.open import open_tables
    from servable.wire.options import Options

    async def predict(name: str, version: str, rows: list[dict[str, Any]]) -> Batch:
        serving = parts.router.pick(name, version)
        inquiry = serving.codec.decode(orjson.dumps({"rows": rows}))
        return await parts.inference.ask(serving, inquiry.batch, Options())

    try:
        return Lookup(open_tables(parts.settings.home_path, parts.settings.tables), predict)
    except MissingExtra:
        return None


def _offline(parts: Parts, lookup: Lookup) -> Iterable[tuple[Endpoint, BodyHandler]]:
    from servable.offline import routes
    from servable.server.http.guard import caller_of

    def permit(request: Request, model: str) -> None:
        peer = request.client.host if request.client else ""
        parts.access.permit(caller_of(request), model, f"{request.method} {request.url.path}", peer)

    return routes.routes(lookup, permit)


def _counted(lookup: Lookup, settings: Settings) -> dict[str, Any]:
    """What a door tells of tables, for `/metrics`."""
    from servable.offline.counts import standing

    return {
        "lookups": {table: counts.snapshot() for table, counts in lookup.counts.items()},
        "offline": standing(lookup.tables, lookup.seen, settings.home_path),
    }


def _rpcs(lookup: Lookup, access: Access) -> Iterable[tuple[Rpc, Answer]]:
    from servable.offline.rpc import SERVICE, LookupCall
    from servable.server.grpc.rpcs import Rpc
    from servable.wire.generated import tables_pb2

    call = LookupCall(lookup, lambda caller, model: access.permit(caller, model, f"/{SERVICE}/Lookup"))
    yield Rpc("Lookup", "invoker", tables_pb2.LookupRequest, "lookup", "", SERVICE), call.answer


def _shortcuts(lookup: Lookup, access: Access, settings: Settings) -> Shortcuts:
    from servable.offline import routes
    from servable.server.http.shortcut import Shortcut, Shortcuts

    return Shortcuts([Shortcut(*row) for row in routes.shortcuts(lookup)], access, settings)


def _release(parts: Parts, caller: Callable[[Request], str]) -> Iterable[tuple[Endpoint, BodyHandler]]:
    from servable.release import routes

    def acts(who: str) -> Acts:
        from servable.registry.registry import Registry
        from servable.release.acts import Acts

        return Acts(Registry.of(parts.settings, who))

    return routes.routes(acts, caller, parts.repository.follow, parts.doors)


def _records(settings: Settings) -> Any:
    if not settings.record_file:
        return None
    from servable.monitoring.json_lines import JsonLines
    from servable.monitoring.record_queue import RecordQueue

    sink = JsonLines(Path(settings.record_file).expanduser())
    return RecordQueue(sink, settings.record_queue, asyncio.get_running_loop().call_later)


async def _door(control: socket.socket) -> int:
    channel = await Channel.open(control)
    start = await anext(aiter(channel))
    if not isinstance(start, Start):
        return 3
    set_up_logs(start.settings)
    try:
        door = build_door(start, channel)
        return await door.run()
    except ServableError as error:
        channel.send(Failed(Problem.of(error)))
        channel.close()
        return error.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """A door: take the control socket by its number and do what comes through it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] != ["--control-fd"] or len(words) != 2:
        raise UsageError("this is a door process of `servable serve`, which starts it: not for people")
    die_with_parent()
    control = socket.socket(fileno=int(words[1]))
    try:
        import uvloop
    except ImportError:  # not on this platform: the standard loop does
        return asyncio.run(_door(control))
    return uvloop.run(_door(control))


if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(main())
