"""Blocks of a Markdown page, and how to run them as a reader would: in order, in one folder, each of them for real.

`console`: lines that start with `$ ` are commands for a shell; what stands below one is what it shows (`…`: anything).
A command that ends with `&` is a server: it is waited for, and stopped at the end of the page. `python`: a script, or,
where its first line is `# name.py`, a file of that name. Other blocks (`py`, `sh`) are not run. 8080 and 8081 become
free ports.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple, Self

FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE_S: Final = 90.0


class Block(NamedTuple):
    """One fenced block: its language, text, and the line of the page that it starts on."""

    language: str
    text: str
    line: int


class Step(NamedTuple):
    """One command and the lines that a page shows below it."""

    command: str
    shown: tuple[str, ...]


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [Block(found[1], found[2], page[: found.start()].count("\n") + 1) for found in FENCE.finditer(page)]


def steps(text: str) -> Iterator[Step]:
    r"""The commands of a console block. A line that ends with a backslash, or an open here-document, goes on.

    >>> list(steps("$ echo one\\\n  two\none two\n$ true\n"))
    [Step(command='echo one\\\n  two', shown=('one two',)), Step(command='true', shown=())]
    """
    command: list[str] = []
    shown: list[str] = []
    end = ""
    for line in text.splitlines():
        if end or (command and not shown and command[-1].endswith("\\")):
            command.append(line)
            end = "" if line == end else end
        elif line.startswith("$ "):
            if command:
                yield Step("\n".join(command), tuple(shown))
            command, shown = [line[2:]], []
            here = re.search(r"<<\s*'?(\w+)'?", line)
            end = here[1] if here else ""
        else:
            assert command, f"a console block begins with a command, not with {line!r}"
            shown.append(line)
    if command:
        yield Step("\n".join(command), tuple(shown))


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {"8080": _free_port(), "8081": _free_port()}
        self._servers: list[subprocess.Popen[bytes]] = []
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SERVABLE_")},
            "HOME": str(folder),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),  # what was fetched once
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SERVABLE_HTTP_PORT": self._ports["8080"],
            "SERVABLE_GRPC_PORT": self._ports["8081"],
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            os.killpg(server.pid, signal.SIGTERM)
        for server in self._servers:
            try:
                server.wait(PATIENCE_S)
            finally:
                if server.poll() is None:
                    os.killpg(server.pid, signal.SIGKILL)
                    server.wait()

    def do(self, block: Block, page: str) -> None:
        """Run one block; AssertionError names its place and what it said."""
        where = f"{page}:{block.line}"
        named = re.match(r"# (\w+\.py)\n", block.text)
        if block.language == "python" and named:
            (self.folder / named[1]).write_text(self._here(block.text), encoding="utf-8")
        elif block.language == "python":
            self._run([sys.executable, "-c", self._here(block.text)], where, ())
        for step in steps(block.text) if block.language == "console" else ():
            command = self._here(step.command)
            if command.endswith("&"):
                self._serve(command.removesuffix("&"), where)
            else:
                told = self.folder / ".environ"
                self._run(["bash", "-euo", "pipefail", "-c", f"{command}\nenv -0 > {told}"], where, step.shown)
                lines = told.read_text(encoding="utf-8").rstrip("\0").split("\0")  # what was exported goes on
                self._environ = dict(line.split("=", 1) for line in lines)

    def _here(self, text: str) -> str:
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{port}\b", ours, text)
        return text

    def _run(self, command: list[str], where: str, shown: tuple[str, ...]) -> None:
        done = subprocess.run(
            command, cwd=self.folder, env=self._environ, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        said = done.stdout + done.stderr
        asked = command[-1].partition("\nenv -0")[0]
        assert done.returncode == 0, f"{where}: {asked!r} ended with {done.returncode}:\n{said}"
        for line in shown:
            pattern = ".*".join(re.escape(part) for part in self._here(line).strip().split("…"))
            assert re.search(pattern, said), f"{where}: {asked!r} does not show {line!r}, but:\n{said}"

    def _serve(self, command: str, where: str) -> None:
        log = self.folder / f"server-{len(self._servers)}.log"
        with log.open("wb") as file:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self._environ, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
        self._servers.append(server)
        url = f"http://127.0.0.1:{self._ports['8080']}/v2/health/ready"
        give_up = time.monotonic() + PATIENCE_S
        while True:
            assert server.poll() is None, f"{where}: {command!r} ended with {server.returncode}:\n{log.read_text()}"
            assert time.monotonic() < give_up, f"{where}: {command!r} does not get ready:\n{log.read_text()}"
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError) and error.code == HTTPStatus.NOT_FOUND:
                    return  # a server of files
                time.sleep(0.05)


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return str(sock.getsockname()[1])
