"""Writes a model as one page that holds everything: to mail, to keep, to open from a disk."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Final

import orjson

from servable.edge.browser import client_text, common_sizes
from servable.edge.contract import contract_of
from servable.edge.devices import in_browser
from servable.edge.edition import Edition
from servable.edge.obstacles import halves
from servable.edge.target import Target
from servable.edge.web_runtime import INLINE_FILES, read_files, runtimes

_MODULES: Final = ("text", "contract", "distance", "rules", "tensors", "weak", "model", "page")
_IMPORT: Final = re.compile(r'(?<= from )"\./([a-z]+)\.js"')
_LOAD: Final = """
import { ServableError } from "./contract.js";
import { made } from "./model.js";

export { ServableError };

async function bytesOf(id) {
  const text = document.getElementById(id).textContent;
  const response = await fetch(`data:application/octet-stream;base64,${text}`);
  return new Uint8Array(await response.arrayBuffer());
}

export async function load() {
  const [script, binary, bytes] = await Promise.all([bytesOf("runtime"), bytesOf("wasm"), bytesOf("model")]);
  const ort = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.numThreads = 1;
  const contract = JSON.parse(document.getElementById("contract").textContent);
  const { tokenizer } = contract;
  const texts = tokenizer && { ...(await import(tokenizer.kind)), vocabulary: await bytesOf("vocabulary") };
  return made(contract, bytes, ort, {}, texts);
}
"""


def write(edition: Edition, folder: Path, _: frozenset[str]) -> None:
    """Write `index.html`. Raises EnvironmentFault, DigestMismatch."""
    # A `<` in the data would end the script element that holds it.
    contract = orjson.dumps(contract_of(edition)).decode().replace("<", "\\u003c")
    runtime, wasm = read_files(INLINE_FILES).values()
    held = {"model": edition.model, "runtime": runtime, "wasm": wasm}
    if edition.texts is not None:
        held["vocabulary"] = edition.texts.tokenizer.file()
    data = [f'<script type="application/json" id="contract">{contract}</script>\n']
    data += [f'<script type="text/plain" id="{name}">{_text(content)}</script>\n' for name, content in held.items()]
    page = client_text("index.html")
    style = f"<style>\n{client_text('page.css')}</style>"
    page = page.replace('<link rel="stylesheet" href="page.css">', style)
    names = (*_MODULES, *(() if edition.texts is None else edition.texts.scripts()))
    modules = {name: _module(client_text(f"{name}.js")) for name in names} | {"browser": _module(_LOAD)}
    imports = f'<script type="importmap">{orjson.dumps({"imports": modules}).decode()}</script>\n'
    script = f'{imports}{"".join(data)}<script type="module">import "page";</script>'
    page = page.replace('<script type="module" src="page.js"></script>', script)
    (folder / "index.html").write_text(page, encoding="utf-8")


def sizes(edition: Edition, folder: Path) -> dict[str, int]:
    """What the page weighs."""
    return {"the page": (folder / "index.html").stat().st_size, **common_sizes(edition)}


def _module(script: str) -> str:
    """A script as a URL that holds it; those it imports are found by name, through the page's import map."""
    named = _IMPORT.sub(r'"\1"', script)
    return f"data:text/javascript;base64,{_text(named.encode())}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


TARGET: Final = Target("inline", write, (in_browser,), sizes, runtimes, (halves,))
