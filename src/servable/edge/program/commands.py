"""The commands of the program: `show`, `predict`, `serve`, `update`, `rollback`; and `prove`, for whoever exports."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from servable.edge.program.door import Door
from servable.edge.program.held import own_archive
from servable.edge.program.living import Living
from servable.edge.program.updates import State
from servable.errors import ServableError, UsageError
from servable.wire.metadata import contract
from servable.wire.row_files import read_rows, texts_of

AT_ONCE: Final = 1000
"""Rows that are given to the model together."""
TIMED: Final = 300
_FOREVER_S: Final = 3.0


def main(words: Sequence[str]) -> None:
    """Run a command. A failure is one line, and ends with 1, 2 (usage) or 3 (environment)."""
    given = _parser().parse_args(words)
    try:
        given.command(Living(own_archive(), given.keep, os.environ.get("SERVABLE_KEY", "")), given)
        sys.stdout.flush()
    except ServableError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has seen enough


def _parser() -> argparse.ArgumentParser:
    program = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(prog=f"python {program}", description="A model and its rules, on this machine.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where newer editions are kept; beside the program")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Living, argparse.Namespace], None], told: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=told, description=told)
        command.set_defaults(command=run)
        return command

    add("show", _show, "What the model takes and gives, as JSON.")
    predict = add("predict", _predict, "Answers to the rows of a file, one line of JSON each.")
    predict.add_argument("--input", required=True, type=Path, metavar="FILE", help="rows: csv, json or jsonl")
    serve = add("serve", _serve, "Answer over HTTP, on a port that only this machine reaches.")
    serve.add_argument("--port", type=int, default=8080, metavar="N", help="0 takes a free one; 8080 by default")
    add("update", _update, "Look for a newer edition, and take it if it holds.")
    add("rollback", _rollback, "Go back to the edition before this one, and not take this one again.")
    prove = add("prove", _prove, "Answers to many bodies and their times, as JSON: what an export is held against.")
    prove.add_argument("file", type=Path, metavar="FILE", help='JSON: {"bodies": [...]}')
    return parser


def _show(model: Living, _: argparse.Namespace) -> None:
    facts, signature = model.held.facts, model.held.predictor.signature
    told = contract(facts.manifest.name, [facts.version], facts.manifest.platform, signature)
    rules = [rule.name for rule in facts.manifest.rules]
    print(json.dumps({**told, "rules": rules, "digest": facts.digest, "variant": facts.variant}, indent=2))


def _predict(model: Living, given: argparse.Namespace) -> None:
    if model.due_s == 0:
        state = model.update()
        if state.update not in {"current", "unreachable"}:
            print(state.message, file=sys.stderr)
    rows = read_rows(given.input, texts_of(model.held.predictor.signature))
    for start in range(0, len(rows), AT_ONCE):
        (told,) = model.answers([{"rows": rows[start : start + AT_ONCE]}])
        if "error" in told:
            rest = {name: value for name, value in told.items() if name not in {"error", "code"}}
            raise ServableError(told["error"], **rest)
        for name, what in told.get("parameters", {}).items():
            print(f"{name}: {what}" + (f" (counted from row {start})" if start else ""), file=sys.stderr)
        for row in told["rows"]:
            print(json.dumps(row, ensure_ascii=False))
    if model.queue is not None:
        sys.stdout.flush()
        model.queue.send()


def _serve(model: Living, given: argparse.Namespace) -> None:
    with Door(model, given.port) as door:
        print(door.url, flush=True)
        door.serve()


def _update(model: Living, _: argparse.Namespace) -> None:
    _say(model, model.update())


def _rollback(model: Living, _: argparse.Namespace) -> None:
    _say(model, model.rollback())


def _say(model: Living, state: State) -> None:
    print(json.dumps({**state._asdict(), "version": model.held.facts.version}))


def _prove(model: Living, given: argparse.Namespace) -> None:
    try:
        bodies = json.loads(given.file.read_text(encoding="utf-8"))["bodies"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{str(given.file)!r} holds no bodies to answer: {error!r}") from error
    told = model.answers(bodies[:1])
    first = time.time()
    told += model.answers(bodies[1:])
    asked = zip(bodies, told, strict=True)
    good = [body for body, answer in asked if "error" not in answer and len(answer.get("rows", "1")) == 1]
    times: list[float] = []
    end = time.monotonic() + _FOREVER_S
    while good and len(times) < TIMED and time.monotonic() < end:
        began = time.perf_counter()
        model.answers(good[:1])
        times.append((time.perf_counter() - began) * 1000)
    print(json.dumps({"told": told, "first": first, "p50_ms": median(times[len(times) // 3 :]) if times else None}))
