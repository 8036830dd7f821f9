"""The command line: one file a command. This one turns errors into one clear line and an exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Sequence

from servable.version import __version__


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. A failure prints what, where and what to do, and ends with 1, 2 (usage) or 3 (environment)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _settle_streams()
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        _answer(words)
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(*_: object) -> None:
    """End as after Ctrl-C: what was in the making is taken away. Commands that stay have a handler of their own."""
    sys.exit(128 + signal.SIGTERM)


def _answer(words: list[str]) -> None:
    if words == ["--version"]:
        print(__version__)
        return
    try:
        code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:  # before there is a command that could take it
        code = 128 + signal.SIGINT
    except (OSError, SystemExit) as ended:
        broken = isinstance(ended.__context__ or ended, BrokenPipeError)  # typer makes an exit of it
        if isinstance(ended, SystemExit) and not broken:
            raise
        # Whoever read our output has seen enough; or nobody can have it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        code = 0
        if not broken:
            print(f"servable: the answer cannot be written to standard output: {ended}", file=sys.stderr)
            code = 3
    sys.exit(code)


def _settle_streams() -> None:
    """Standard streams that take whatever is printed: ones that the caller closed lead nowhere, lest a file that is
    opened next gets their number; a character that their encoding lacks is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the program runs
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - for as long as the program runs
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="backslashreplace")


def _run(words: list[str]) -> int:
    import typer

    from servable.cli.commands import app
    from servable.errors import EnvironmentFault, ServableError, UsageError

    error: ServableError
    try:
        return app(words, prog_name="servable", standalone_mode=False) or 0
    except ServableError as caught:
        error = caught
    except typer.TyperException as caught:  # the words cannot be read; without any at all, its text is the help
        if not (text := caught.format_message()):
            return caught.exit_code
        context = getattr(caught, "ctx", None)
        error = UsageError(f"{text.rstrip('.')}; see  {context.command_path if context else 'servable'} --help")
    except BrokenPipeError:
        raise
    except OSError as caught:  # a file or folder that a command could not read or write
        where = f"{str(caught.filename)!r}: " if caught.filename else ""
        error = EnvironmentFault(f"{where}{caught.strerror or caught}")
    if "--json" in words:
        print(json.dumps(error.body(), default=str))
    else:
        print(f"servable: {error.message}", file=sys.stderr)
        for fault in error.detail.get("faults", ()):
            if fault not in error.message:
                print(f"  - {fault}", file=sys.stderr)
    return error.exit_code
