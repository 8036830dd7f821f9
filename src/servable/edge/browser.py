"""Writes a model for browsers and Node: one folder, which is an npm package and a page at once."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import orjson

from servable.edge.contract import CONTRACT, MODEL, contract_of
from servable.edge.devices import in_browser, in_node
from servable.edge.edition import Edition
from servable.edge.life import GOLDEN, OPTIONS, SETTINGS, Life
from servable.edge.obstacles import halves
from servable.edge.target import Target
from servable.edge.texts import VOCABULARY
from servable.edge.web_runtime import FILES, WEBGPU_FILES, read_files, runtimes

SCRIPTS: Final = (
    "browser.js", "node.js", "serve.js", "model.js", "contract.js", "rules.js", "distance.js", "tensors.js", "text.js",
    "weak.js", "settings.js", "index.d.ts",
)  # fmt: skip
LIFE: Final = (
    "life.js", "editions.js", "updates.js", "recorded.js", "standing.js", "held.js", "server.js", "signed.js",
    "golden.js", "kept_browser.js", "kept_node.js", "queue.js", "waiting_browser.js", "waiting_node.js",
)  # fmt: skip
"""Beside them only where an export goes on after it is made."""
NOT_OF_PAGE: Final = (
    "node.js", "serve.js", "kept_node.js", "waiting_node.js", "index.d.ts", "package.json", GOLDEN,
)  # fmt: skip
SCRIPTS_OF_PAGE: Final = (
    "browser.js", "model.js", "contract.js", "rules.js", "distance.js", "tensors.js", "text.js", "weak.js",
    "settings.js",
)  # fmt: skip
WEBGPU: Final = "webgpu"
PAGE: Final = ("index.html", "page.js", "page.css", "worker.js")


def client_text(name: str) -> str:
    """A file of the client as it goes: of scripts, indentation and lines of comment stay here, a fifth of them."""
    text = (files("servable.edge") / "client" / name).read_text(encoding="utf-8")
    if not name.endswith(".js"):
        return text
    lines = map(str.strip, text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/**", "* "))) + "\n"


def write(edition: Edition, folder: Path, options: frozenset[str]) -> None:
    """Write the folder. Raises EnvironmentFault, DigestMismatch."""
    contract = contract_of(edition)
    made: dict[str, bytes] = {name: client_text(name).encode() for name in (*SCRIPTS, *PAGE)}
    made[CONTRACT] = orjson.dumps(contract)
    made[MODEL] = edition.model
    if edition.texts is not None:
        made |= {f"{name}.js": client_text(f"{name}.js").encode() for name in edition.texts.scripts()}
        made[VOCABULARY] = edition.texts.tokenizer.file()
    if edition.life is not None:
        made |= {name: client_text(name).encode() for name in LIFE}
        made |= {SETTINGS: edition.life.script(), GOLDEN: edition.life.golden}
    for name, data in read_files(FILES + (WEBGPU_FILES if WEBGPU in options else ())).items():
        made[f"ort/{name}"] = data
    made["package.json"] = orjson.dumps(_package(contract, edition.life), option=orjson.OPT_INDENT_2)
    made["worker.js"] = _worker(made, contract)
    for name, data in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def sizes(edition: Edition, folder: Path) -> dict[str, int]:
    """What a page downloads: without the runtime that lies in files of its own, the model, the client as servers
    compress it.
    """
    kept = [file for file in folder.rglob("*") if file.is_file() and file.name not in NOT_OF_PAGE]
    files = {file: file.stat().st_size for file in kept}
    runtime = sum(size for file, size in files.items() if file.parent.name == "ort")
    return {
        "the page without the runtime": sum(files.values()) - runtime,
        "the runtime": runtime,
        **common_sizes(edition),
    }


def common_sizes(edition: Edition) -> dict[str, int]:
    """What every page has in it."""
    client = b"".join(client_text(name).encode() for name in SCRIPTS_OF_PAGE)
    return {"the model": len(edition.model), "the client, gzipped": len(gzip.compress(client, 9))}


def _package(contract: dict[str, Any], life: Life | None) -> dict[str, Any]:
    """The npm package: without dependencies, since the runtime lies inside."""
    number = contract["version"] if contract["version"].isdigit() else "0"
    return {
        "name": contract["name"].lower(),
        "version": f"{number}.0.0",
        "description": f"The model {contract['name']!r}, for browsers and Node",
        "type": "module",
        "types": "./index.d.ts",
        "exports": {".": {"types": "./index.d.ts", "node": "./node.js", "default": "./browser.js"}},
        "bin": {f"{contract['name'].lower()}-serve": "./serve.js"},
        "files": ["*"],
        "servable": {
            "digest": contract["digest"],
            "variant": contract["variant"],
            "life": None if life is None else life.settings(),
        },
    }


def _worker(made: dict[str, bytes], contract: dict[str, Any]) -> bytes:
    """The service worker with what it keeps: a cache is named by all it holds, so that a new one never meets old
    files.
    """
    names = sorted({*made} - {"worker.js", *NOT_OF_PAGE})
    digest = hashlib.sha256(b"".join(hashlib.sha256(made[name]).digest() for name in names)).hexdigest()
    kept = f"{contract['name']}-{digest[:16]}"
    head = f"const KEPT = {orjson.dumps(kept).decode()};\nconst FILES = {orjson.dumps(['./', *names]).decode()};\n"
    return head.encode() + made["worker.js"]


TARGET: Final = Target(
    "browser", write, (in_browser, in_node), sizes, runtimes, (halves,), frozenset({WEBGPU, *OPTIONS})
)
