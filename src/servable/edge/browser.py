"""Writes a model for browsers and Node: one folder, which is an npm package and a page at once."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import orjson

from servable.domain.bundle import Bundle
from servable.edge.contract import CONTRACT, MODEL, contract_of
from servable.edge.web_runtime import FILES, WEBGPU_FILES, read_files
from servable.runtimes import verified
from servable.runtimes.onnx_file import read

SCRIPTS: Final = ("browser.js", "node.js", "model.js", "contract.js", "rules.js", "text.js", "index.d.ts")
NOT_OF_PAGE: Final = ("node.js", "index.d.ts", "package.json")
PAGE: Final = ("index.html", "page.js", "page.css", "worker.js")


def model_bytes(bundle: Bundle) -> bytes:
    """The model as it is loaded: every ZipMap opened. Raises CorruptModel, DigestMismatch."""
    return read(verified.read(bundle)).model


def client_text(name: str) -> str:
    """A file of the client."""
    return (files("servable.edge") / "client" / name).read_text(encoding="utf-8")


def write(bundle: Bundle, version: str, folder: Path, *, webgpu: bool = False, proven: bool = False) -> None:
    """Write the folder. `proven` is what the package says of its proof. Raises EnvironmentFault, DigestMismatch."""
    model = model_bytes(bundle)
    contract = contract_of(bundle, version, model)
    made: dict[str, bytes] = {name: client_text(name).encode() for name in (*SCRIPTS, *PAGE)}
    made[CONTRACT] = orjson.dumps(contract)
    made[MODEL] = model
    for name, data in read_files(FILES + (WEBGPU_FILES if webgpu else ())).items():
        made[f"ort/{name}"] = data
    made["package.json"] = orjson.dumps(_package(contract, proven=proven), option=orjson.OPT_INDENT_2)
    made["worker.js"] = _worker(made, contract)
    for name, data in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _package(contract: dict[str, Any], *, proven: bool) -> dict[str, Any]:
    """The npm package: without dependencies, since the runtime lies inside."""
    number = contract["version"] if contract["version"].isdigit() else "0"
    return {
        "name": contract["name"].lower(),
        "version": f"{number}.0.0",
        "description": f"The model {contract['name']!r}, for browsers and Node",
        "type": "module",
        "types": "./index.d.ts",
        "exports": {".": {"types": "./index.d.ts", "node": "./node.js", "default": "./browser.js"}},
        "files": ["*"],
        "servable": {"digest": contract["digest"], "proven": proven},
    }


def _worker(made: dict[str, bytes], contract: dict[str, Any]) -> bytes:
    """The service worker with what it keeps: a cache is named by the model, so that a new one never meets old files."""
    names = sorted({*made} - {"worker.js", *NOT_OF_PAGE})
    kept = f"{contract['name']}-{contract['file']['sha256'][:16]}"
    head = f"const KEPT = {orjson.dumps(kept).decode()};\nconst FILES = {orjson.dumps(['./', *names]).decode()};\n"
    return head.encode() + made["worker.js"]
