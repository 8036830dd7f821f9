"""Isolated: decides whether a version lives in the door or in a process of its own, and fetches it either way.

Called by the host, on its loading thread.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from servable.bundles import manifest
from servable.bundles.guard import guard_of
from servable.bundles.open import format_of
from servable.bundles.signatures import demand
from servable.domain.bundle import Bundle
from servable.engine.loading import Loaded, load, unchanged
from servable.engine.plan import Target
from servable.engine.policy import CostCurve
from servable.engine.process.messages import Hosted, Launch
from servable.engine.process.remote import RemoteModel
from servable.errors import BundleError, DigestMismatch, NotReady, ServableError
from servable.runtimes.find import runtime
from servable.server.control import Channel, ChannelClosed, Want
from servable.settings import Settings

if TYPE_CHECKING:
    from servable.online.teacher import Teacher

MOST_PROCESSES: Final = 64
SHARED_S: Final = 10.0
"""For what machines share of a learner to come here."""
HOP_S: Final = 0.0001
"""What a call costs more in another process: the batches of a lane grow with it."""

logger = logging.getLogger("servable.server")


class Loader:
    """Loads for one door. `channel` leads to the supervisor; `keeps`: of all doors, this one keeps shared learners."""

    def __init__(self, channel: Channel, settings: Settings, *, keeps: bool = False) -> None:
        self._channel = channel
        self._settings = settings
        self._keeps = keeps
        self._loop = asyncio.get_running_loop()

    def load(self, target: Target) -> Loaded:
        """The version, ready to serve. Raises a ServableError that says what is wrong."""
        target = vouched(target, self._settings.trusted_keys)
        launches = launches_of(target, self._settings.isolate)
        if not launches:
            return load(target, warm_up=self._settings.warm_up)
        hosted = self._ask(launches)
        up = hosted[0].up
        if launches[0].learns:  # its process may be an older one than this door
            unchanged(target, up.digest)
        if launches[0].learns and not format_of(Path(target.source))[0].isolated:
            return self._published(target, hosted[0])
        if target.digest is not None and up.digest != target.digest:
            raise DigestMismatch(f"{target.name}: its model process loaded {up.digest}, registered was {target.digest}")
        stated = manifest.loads(up.manifest.encode())
        bundle = Bundle(Path(up.folder), msgspec.structs.replace(stated, name=target.name), up.digest, up.inferred)
        model = RemoteModel(
            target.name,
            [process.address for process in hosted],
            self._kill,
            stuck_after_s=self._settings.stuck_after_s,
            max_answer_bytes=2 * self._settings.max_answer_bytes,
            layers=up.layers,
            generates=up.generates,
        )
        if launches[0].learns:
            from servable.online.teacher import Teacher

            model.teacher = asyncio.run_coroutine_threadsafe(
                Teacher.connect(target.name, hosted[0].address, bundle.signature), self._loop
            ).result()
            self._share(model.teacher, target, hosted[0])
        curve = CostCurve([(rows, seconds + HOP_S) for rows, seconds in up.curve])
        return Loaded(bundle, model, curve, guard_of(bundle))

    def _published(self, target: Target, hosted: Hosted) -> Loaded:
        """A learner that is data: its process learns, and this door answers by what it publishes."""
        from servable.online.published import Published

        loaded = load(target, warm_up=self._settings.warm_up)
        make = partial(runtime(loaded.bundle.manifest.format).load, loaded.bundle, target.device)
        model = Published(target.name, hosted.address, loaded.bundle.signature, make, self._loop)
        self._share(model.teacher, target, hosted)
        return loaded._replace(model=model)

    def _share(self, teacher: Teacher, target: Target, hosted: Hosted) -> None:
        """Where machines share learners: link its process to those of others, if this door is to; then wait until it is
        known what these have learned. Without their database it is served as it was packed.
        """
        if not self._settings.learning_url:
            return
        if self._keeps:
            self._keep(teacher, target, hosted)
        if not teacher.heard.wait(SHARED_S):
            logger.warning("%s answers as it was packed: what other machines have learned is not known", target.name)

    def _keep(self, teacher: Teacher, target: Target, hosted: Hosted) -> None:
        from servable.online.fleet.keeper import Keeper
        from servable.online.fleet.ledger import Ledger
        from servable.online.fleet.states.open import open_states
        from servable.online.fleet.tables import database_of
        from servable.online.identity import identity_of

        database = database_of(self._settings.learning_url)
        who = f"{socket.gethostname()}:{self._settings.http_port}"
        learner = f"{target.name}:{target.version}"
        own = identity_of(manifest.loads(hosted.up.manifest.encode()))
        ledger = Ledger(database, learner, own, who, self._settings.learning_lease_s)
        log = open_states(self._settings.learning_states, database, learner)
        starting = Keeper.start(hosted.address, database, ledger, log)
        keeper = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        teacher.on_end, teacher.on_close = keeper.end, keeper.close

    def _ask(self, launches: list[Launch]) -> list[Hosted]:
        """All at once: they load side by side."""
        wants = [Want("process", launch.target.name, msgspec.to_builtins(launch)) for launch in launches]
        answers = [asyncio.run_coroutine_threadsafe(self._channel.want(want), self._loop) for want in wants]
        try:
            return [msgspec.convert(answer.result(), Hosted) for answer in answers]
        except ChannelClosed:
            raise NotReady("the server is shutting down") from None
        except msgspec.ValidationError as error:
            raise ServableError(f"the supervisor's answer is not understood: {error}") from error

    def _kill(self, pid: int) -> None:
        """From the event loop: have a process ended that does not answer."""
        self._channel.send(Want("stuck", parameters={"pid": pid}))


def vouched(target: Target, trusted: tuple[str, ...]) -> Target:
    """The target with the digest that a trusted key has signed, where the operator demands one: nothing else will load.

    Raises UnsignedModel, DigestMismatch.
    """
    if not trusted:
        return target
    signed = demand(Path(target.source), trusted)
    if target.digest not in {None, signed}:
        raise DigestMismatch(
            f"{target.name}: the bundle in {target.source} is {signed}, registered was {target.digest}"
        )
    return msgspec.structs.replace(target, digest=signed)


def launches_of(target: Target, isolate: str) -> list[Launch]:
    """What to ask of the supervisor for this target: one process or several; none if it lives in the door.

    Opens no model. Raises UnknownFormat, BundleError.
    """
    plugin, stated = format_of(Path(target.source))
    options: dict[str, Any] = {} if stated is None else stated.options
    python, requirements = (str(options.get(name, "")) for name in ("python", "requirements"))
    wanted = options.get("isolate", isolate == "all")
    processes = options.get("processes", 1)
    if type(processes) is not int or not 1 <= processes <= MOST_PROCESSES:
        raise BundleError(f"{target.name}: options.processes is {processes!r}: expected 1 to {MOST_PROCESSES}")
    learns = bool(getattr(plugin, "learns", False)) and not options.get("frozen")
    if learns and processes > 1:
        raise BundleError(f"{target.name}: options.processes is {processes}: a learner has one writer, so one process")
    if not (plugin.isolated or wanted or python or requirements or processes > 1 or learns):
        return []
    folder = Path(target.source)
    if requirements:
        path = (folder / requirements).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise BundleError(f"{target.name}: its requirements {requirements!r} lie outside the bundle")
        requirements = str(path)
    if learns:  # one process for all generations: loading it anew would make the same of its journal
        target = msgspec.structs.replace(target, generation=0)
    spawns, listens = (bool(getattr(plugin, needs, False)) for needs in ("spawns", "listens"))
    return [Launch(target, python, requirements, spawns, slot, listens, learns) for slot in range(processes)]
