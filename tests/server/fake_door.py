"""A door without models: the real control channel, the real sockets, and behaviour that the plan and the URL ask for.

A target's `source` says what loading it does: `good`, `bad:REASON`, `crash`, `slow:SECONDS`. The supervisor's tests run
it as the door's command; every GET answers JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from typing import Any

import msgspec

from servable.domain.problem import Problem
from servable.engine.plan import Plan, State
from servable.errors import EnvironmentFault, ServableError
from servable.server.control import (
    Answer,
    Ask,
    Beat,
    Channel,
    Converge,
    Converged,
    Drain,
    Failed,
    Start,
    Want,
    die_with_parent,
)


class FakeDoor:
    def __init__(self, start: Start, channel: Channel) -> None:
        self.start = start
        self.channel = channel
        self.grpc = [socket.socket(fileno=fd) for fd in start.grpc_fds]
        self.loaded: dict[str, tuple[str, int]] = {}
        self.ready = False
        self.loading = ""
        self.stuck = ""
        self.open = 0
        self.asked = 0
        self.report: Any = None
        self.draining = False

    async def converge(self, plan: Plan, number: int) -> None:
        failures = []
        for target in plan.targets:
            kind, _, rest = target.source.partition(":")
            if kind == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            elif kind == "slow":
                self.loading = target.name
                await asyncio.sleep(float(rest))
                self.loading = ""
            if kind == "bad":
                code = "missing_extra" if rest == "extra" else ""
                failures.append(State(target.name, target.version, "UNAVAILABLE", rest, code))
            else:
                self.loaded[target.name] = (target.version, target.generation)
        self.loaded = {name: held for name, held in self.loaded.items() if name in plan.routes}
        self.ready = plan.routes.keys() <= self.loaded.keys()
        ready = [State(name, version, "READY") for name, (version, _) in self.loaded.items()]
        self.beat()
        self.channel.send(Converged(number, (*ready, *failures), tuple(failures)))

    def beat(self) -> None:
        self.channel.send(Beat(self.ready and not self.draining, self.stuck))

    async def beats(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(self.start.beat_s)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection: `GET /PATH` and the answer."""
        self.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            body = json.dumps(await self.answer(head.split()[1].decode())).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        finally:
            self.open -= 1
            writer.close()

    async def answer(self, path: str) -> Any:
        match path.strip("/").split("/"):
            case ["sleep", seconds]:
                await asyncio.sleep(float(seconds))
            case ["report", word]:
                self.report = word
            case ["stuck"]:
                self.stuck = "a call hangs"
            case ["want", action, *model]:
                want = msgspec.convert({"type": "Want", "action": action, "model": model[0] if model else None}, Want)
                try:
                    return {"data": await self.channel.want(want)}
                except ServableError as error:
                    return {"status": error.status, **error.body()}
        slot, ready = self.start.slot, self.ready and not self.draining
        environment = {name: os.environ[name] for name in ("NOTIFY_SOCKET", "LISTEN_FDS") if name in os.environ}
        return {
            "pid": os.getpid(),
            "slot": slot,
            "ready": ready,
            "loaded": self.loaded,
            "loading": self.loading,
            "environ": environment,
            "grpc": [sock.getsockname()[1] for sock in self.grpc],
        }

    async def run(self) -> int:
        if "fail_to_start" in self.start.settings.record_file:
            raise EnvironmentFault("the fake door lacks a thing")
        servers = []
        for fd in self.start.http_fds:
            servers.append(await asyncio.start_server(self.serve, sock=socket.socket(fileno=fd)))
        work = [asyncio.create_task(self.beats()), asyncio.create_task(self.converge(self.start.plan, 0))]
        async for message in self.channel:
            match message:
                case Converge():
                    work.append(asyncio.create_task(self.converge(message.plan, message.id)))
                case Ask():
                    self.asked += 1
                    report = {
                        "slot": self.start.slot,
                        "pid": os.getpid(),
                        "records": {"asked": self.asked},
                        "models": [],
                    }
                    self.channel.send(Answer(message.id, self.report or report))
                case Drain():
                    await self.drain(message, servers)
                    return 0
        return 1

    async def drain(self, drain: Drain, servers: list[asyncio.Server]) -> None:
        self.draining = True
        await asyncio.sleep(drain.delay_s)
        await asyncio.sleep(0.05)  # let in what waits in the queue of the kernel
        for server in servers:
            server.close()
        await asyncio.sleep(0.05)  # those accepted last are not counted yet
        while self.open:
            await asyncio.sleep(0.01)


async def main(control: socket.socket) -> int:
    channel = await Channel.open(control)
    start = await anext(aiter(channel), None)
    if not isinstance(start, Start):
        return 1
    try:
        return await FakeDoor(start, channel).run()
    except ServableError as error:
        channel.send(Failed(Problem.of(error)))
        channel.close()
        return error.exit_code


if __name__ == "__main__":
    die_with_parent()
    sys.exit(asyncio.run(main(socket.socket(fileno=int(sys.argv[2])))))
