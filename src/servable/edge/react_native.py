"""Writes a model for React Native: an npm package of the client that browsers get, around onnxruntime-react-native.

The same scripts are asked here in Node, with onnxruntime compiled to WebAssembly in the place of that for phones.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from servable.bundles.load import Predictor
from servable.bundles.opened import Opened
from servable.edge.browser import client_text
from servable.edge.cases import golden_bodies
from servable.edge.contract import contract_of
from servable.edge.devices import Ran, in_node
from servable.edge.edition import Edition
from servable.edge.obstacles import halves, tokens
from servable.edge.ort_format import OrtFile, ort_file
from servable.edge.served import answers
from servable.edge.target import Target
from servable.edge.web_runtime import FILES, PACKAGE, VERSION, read_files

RUNTIME: Final = "onnxruntime-react-native"
RELEASE: Final = "1.24.3"
"""What the package asks for. It needs a phone: the proof takes the same onnxruntime for another processor."""
MODEL: Final = "model.ort"
OPERATORS: Final = "required_operators.config"
ENTRY: Final = "phone.js"
FACTS: Final = "facts.js"
GOLDEN: Final = "golden.json"
"""Golden rows, where they lie in a file of their own."""
SCRIPTS: Final = (
    ENTRY, "phone.d.ts", "index.d.ts", "model.js", "contract.js", "rules.js", "distance.js", "tensors.js", "text.js",
    "weak.js", "golden.js", "held.js",
)  # fmt: skip
_RUNNER: Final = "phone_in_node.js"
_RUNTIME_HERE: Final = """import { readFileSync } from "node:fs";
import * as ort from "./ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
ort.env.wasm.wasmBinary = readFileSync(new URL("./ort-wasm-simd-threaded.wasm", import.meta.url));
ort.env.wasm.numThreads = 1;
export const { InferenceSession, Tensor } = ort;
"""


def write(edition: Edition, folder: Path, _: frozenset[str]) -> None:
    """Write the package. Raises IncompatibleModel, CheckFailed."""
    package(edition, ort_file(edition), folder)


def package(edition: Edition, made: OrtFile, folder: Path) -> None:
    """Write the package of an edition in onnxruntime's own format."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCRIPTS:
        (folder / name).write_text(client_text(name), encoding="utf-8")
    (folder / MODEL).write_bytes(made.model)
    (folder / OPERATORS).write_bytes(made.operators)
    contract = contract_in(edition, made)
    told = {"CONTRACT": contract, "GOLDEN": golden(edition)}
    lines = [f"export const {name} = {orjson.dumps(value).decode()};\n" for name, value in told.items()]
    (folder / FACTS).write_text("".join(lines), encoding="utf-8")
    (folder / "package.json").write_bytes(orjson.dumps(_package(contract), option=orjson.OPT_INDENT_2))


def contract_in(edition: Edition, made: OrtFile) -> dict[str, Any]:
    """The contract of an edition, of its model in that format."""
    file = {"path": MODEL, "bytes": len(made.model), "sha256": hashlib.sha256(made.model).hexdigest()}
    return {**contract_of(edition), "file": file}


def golden(edition: Edition) -> dict[str, Any]:
    """Golden rows and what the model with its rules answers to them, for a device to try itself with."""
    bodies = golden_bodies(edition.bundle)
    with Predictor(Opened(edition.bundle, edition.opened())) as predictor:
        told = answers(predictor, edition.version, bodies)
    asked = [{"body": body, "told": answer} for body, answer in zip(bodies, told, strict=True) if "rows" in answer]
    return {"asked": asked, "absolute": edition.absolute, "relative": edition.relative}


def sizes(edition: Edition, folder: Path) -> dict[str, int]:
    """What is added to an app, without the runtime."""
    scripts = sum((folder / name).stat().st_size for name in (*SCRIPTS, FACTS) if name.endswith(".js"))
    return {
        "the model in ORT format": (folder / MODEL).stat().st_size,
        "the scripts": scripts,
        "the model": len(edition.model),
    }


def in_node_as_on_a_phone(folder: Path, bodies: Sequence[Any]) -> Ran:
    """The answers of the package's scripts and its model, in Node. Raises EnvironmentFault, ModelFailed."""
    with tempfile.TemporaryDirectory(prefix="servable-edge-") as place:
        copy = Path(place) / "package"
        shutil.copytree(folder, copy)
        (copy / "node.js").write_text(client_text(_RUNNER), encoding="utf-8")
        runtime = copy / "node_modules" / RUNTIME
        runtime.mkdir(parents=True)
        for name, data in read_files(FILES).items():
            (runtime / name).write_bytes(data)
        (runtime / "index.mjs").write_text(_RUNTIME_HERE, encoding="utf-8")
        (runtime / "package.json").write_bytes(orjson.dumps({"name": RUNTIME, "exports": "./index.mjs"}))
        ran = in_node(copy, bodies)
    return msgspec.structs.replace(ran, device=f"React Native's package in {ran.device}")


def runtimes() -> dict[str, str]:
    """What computes in the proof, and what the package asks for."""
    return {PACKAGE: VERSION, RUNTIME: RELEASE}


def _package(contract: dict[str, Any]) -> dict[str, Any]:
    number = contract["version"] if contract["version"].isdigit() else "0"
    return {
        "name": contract["name"].lower(),
        "version": f"{number}.0.0",
        "description": f"The model {contract['name']!r}, for React Native",
        "type": "module",
        "main": f"./{ENTRY}",
        "types": "./phone.d.ts",
        "files": ["*"],
        "peerDependencies": {RUNTIME: f"^{RELEASE}"},
        "servable": {"digest": contract["digest"], "variant": contract["variant"]},
    }


TARGET: Final = Target("react-native", write, (in_node_as_on_a_phone,), sizes, runtimes, (halves, tokens))
