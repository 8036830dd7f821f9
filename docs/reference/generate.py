"""Writes the reference pages from the code: settings, commands, routes. Run it: `python docs/reference/generate.py`.

The code is where it is said: the docstring of a setting, the help of a command, the summary of a route. A test compares
these pages with what this program would write, so that none can be forgotten.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import typer

import servable
from servable import settings
from servable.cli.commands import COMMANDS, app
from servable.domain.endpoint import Endpoint
from servable.server.grpc.rpcs import RPCS
from servable.server.http.routes import ROUTES

HERE: Final = Path(__file__).parent
NOTE: Final = "<!-- Written by docs/reference/generate.py from the code: change it there. -->\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    lines += [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


# ---- settings


def documented() -> dict[str, str]:
    """What the source says below each setting. One that stands without a blank line above the next shares its words."""
    (definition,) = (
        node
        for node in ast.parse(inspect.getsource(settings)).body
        if isinstance(node, ast.ClassDef) and node.name == settings.Settings.__name__
    )
    said: dict[str, str] = {}
    field = ""
    for node in definition.body[1:]:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            field = node.target.id
            said[field] = ""
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            said[field] = " ".join(node.value.value.split())
        else:
            break
    return said


def settings_page() -> str:
    """Every setting: its name, default and meaning."""
    said = documented()
    rows = []
    for field in msgspec.structs.fields(settings.Settings):
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        kind = re.sub(r"<class '(\w+)'>", r"\1", str(field.type)).removeprefix("typing.")
        rows.append((f"`{field.name}`", f"`{kind}`", f"`{msgspec.json.encode(default).decode()}`", said[field.name]))
    return (
        f"# Settings\n\n{NOTE}\n"
        "A setting is given in a TOML file (`--config FILE`), in the environment (`SERVABLE_` and its name in\n"
        "capitals), or as an option of the command line where there is one; the later wins. Sizes are in bytes, times\n"
        "in seconds. A name that is not known, or a value of the wrong type, is an error that says where it stands.\n\n"
        + table(("setting", "type", "default", "meaning"), rows)
    )


# ---- commands


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    root = typer.main.get_command(app)
    for name in COMMANDS:
        command = root.get_command(None, name)
        parts = getattr(command, "commands", {})
        if not parts or command.invoke_without_command:
            yield f"servable {name}", command
        for part, inner in parts.items():
            yield f"servable {name} {part}", inner


def cli_page() -> str:
    """Every command with its arguments, options and example."""
    intro = (
        f"# Commands\n\n{NOTE}\n"
        "Answers go to standard output, everything else to standard error. With `--json` answers and errors are JSON.\n"
        "A command ends with 0 if it did what was asked, 1 if a check or job failed, 2 if it was called wrongly, 3 if\n"
        "the machine lacks something: an extra, a port, a file. `SERVABLE_HOME`, or `--home`, says where state lies.\n"
    )
    parts = [intro]
    for words, command in commands():
        text, _, example = inspect.cleandoc(command.callback.__doc__ or "").partition("Example:")
        parts.append(f"\n## {words}\n\n{text.strip()}\n\n```sh\n{example.strip()}\n```\n")
        rows = []
        for parameter in command.params:
            if parameter.name == "help":
                continue
            option = parameter.param_type_name == "option"
            names = ", ".join(parameter.opts) if option else (parameter.metavar or parameter.name.upper())
            needed = "" if option and not parameter.required else "" if not parameter.required else " (needed)"
            absent = parameter.show_default if option and isinstance(parameter.show_default, str) else ""
            rows.append((f"`{names}`{needed}", (parameter.help or "") + (f"  [default: {absent}]" if absent else "")))
        parts.append("\n" + table(("argument", "meaning"), rows))
    return "".join(parts)


# ---- routes and methods


def offered() -> list[Endpoint]:
    """The rows that shelves bring: those that stand in their `routes.py`."""
    found = []
    for path in sorted(Path(servable.__file__).parent.glob("*/routes.py")):
        shelf = importlib.import_module(f"servable.{path.parent.name}.routes")
        found += [row for row in vars(shelf).values() if isinstance(row, Endpoint)]
    return found


def routes_page() -> str:
    """Every route and every method of the tables that the server itself is built from."""
    routes = [(f"`{row.method} {row.path}`", row.role, row.summary) for row in (*ROUTES, *offered())]
    methods = [(f"`{rpc.service}/{rpc.name}`", rpc.role) for rpc in RPCS]
    return (
        f"# Routes and methods\n\n{NOTE}\n"
        "All there is on the two ports, and the role that a key needs where keys are demanded (`open`: none). The\n"
        "server describes itself at `/openapi.json`, with bodies that work; `/docs` is a page to try them. How bodies\n"
        "and errors look: [the HTTP door](../http.md).\n\n## HTTP\n\n"
        + table(("route", "role", "what"), routes)
        + "\n## gRPC\n\n"
        + table(("method", "role"), methods)
    )


PAGES: Final = {"settings.md": settings_page, "cli.md": cli_page, "routes.md": routes_page}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
