"""Writes a model for phones: onnxruntime's own format with its list of operators, and sources around it for Android
(Kotlin), iOS (Swift) and React Native. A bundle of TFLite, Keras or TensorFlow goes as TFLite instead (`lite.py`).

The sources for Kotlin and Swift know less than the other clients: what they do not, is an obstacle (`natives`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import orjson

from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.edge import lite, react_native
from servable.edge.contract import CONTRACT
from servable.edge.devices import Ran
from servable.edge.edition import Edition
from servable.edge.life import UPDATES
from servable.edge.obstacles import Obstacle, halves, tokens
from servable.edge.ort_format import ort_file
from servable.edge.publishable import ASSETS, SETTINGS
from servable.edge.react_native import GOLDEN, MODEL, OPERATORS
from servable.edge.target import Target

RELEASES: Final = {"ANDROID_RELEASE": "1.24.3", "IOS_RELEASE": "1.24.2"}
"""Of onnxruntime that the sources ask for, by the words that stand for them there."""
RESOURCES: Final = "ios/Sources/Model"
TESTS: Final = "ios/Tests/ModelTests"
REACT: Final = "react-native"
_KNOWN: Final = frozenset({"FP32", "INT32", "INT64", "BYTES"})
_RULES: Final = frozenset({"bounds", "categories", "missing"})
_ACTIONS: Final = frozenset({"refuse", "clip", "flag"})
_NAMED: Final = b'.copy("contract.json")'
"""Where a Swift package names what lies in it."""
_ELSE: Final = "Export it with --target react-native, whose client knows all of the contract"


def write(edition: Edition, folder: Path, _: frozenset[str]) -> None:
    """Write the folder. Raises IncompatibleModel, CheckFailed."""
    made = ort_file(edition)
    react_native.package(edition, made, folder / REACT)
    contract = orjson.dumps(react_native.contract_in(edition, made))
    golden = orjson.dumps(react_native.golden(edition))
    for path, text in _sources(files("servable.edge") / "phone"):
        _put(folder / path, _released(text).encode())
    for place in (ASSETS, RESOURCES):
        _put(folder / place / MODEL, made.model)
        _put(folder / place / CONTRACT, contract)
    for place in (ASSETS, TESTS):
        _put(folder / place / GOLDEN, golden)
    if edition.life is not None:
        told = edition.life.settings()
        wanted = {name: told[name] for name in ("name", "sequence", "updates", "trusted")}
        for place in (ASSETS, RESOURCES):
            _put(folder / place / SETTINGS, orjson.dumps(wanted))
        package = folder / "ios/Package.swift"
        _put(package, package.read_bytes().replace(_NAMED, _NAMED + f', .copy("{SETTINGS}")'.encode()))
    _put(folder / OPERATORS, made.operators)


def sizes(edition: Edition, folder: Path) -> dict[str, int]:
    """What is added to an app, without the runtime."""
    return react_native.sizes(edition, folder / REACT)


def in_node_as_on_a_phone(folder: Path, bodies: Sequence[Any]) -> Ran:
    """As React Native's package answers, by the same model file."""
    return react_native.in_node_as_on_a_phone(folder / REACT, bodies)


def natives(bundle: Bundle) -> Iterator[Obstacle]:
    """What the sources for Kotlin and Swift do not know."""
    signature = bundle.signature
    if not signature.batched:
        yield Obstacle("it has no rows, and the sources for Kotlin and Swift take rows", _ELSE)
    for field in (*signature.inputs, *signature.outputs):
        if what := _strange(field):
            yield Obstacle(f"{field.name!r} {what}, which the sources for Kotlin and Swift do not know", _ELSE)
    for rule in bundle.manifest.rules:
        if rule.judges not in _RULES or rule.action not in _ACTIONS or (rule.column or "").startswith("output."):
            yield Obstacle(
                f"rule {rule.name!r} ({rule.judges}, {rule.action}) is none that the sources for Kotlin and Swift know "
                "(bounds, categories and missing values of an input, that refuse, clip or flag)",
                _ELSE,
            )


def _strange(field: Field) -> str:
    if field.datatype not in _KNOWN:
        return f"is {field.datatype}"
    if len(field.shape) > 2 or -1 in field.shape[1:]:
        return f"is {field.describe()}"
    if field.content == "date":
        return "holds dates"
    return "has categories of floats" if field.categories and field.datatype == "FP32" else ""


def _sources(place: Traversable, path: str = "") -> Iterator[tuple[str, str]]:
    for each in sorted(place.iterdir(), key=lambda each: each.name):
        here = f"{path}{each.name}"
        if each.is_dir():
            yield from _sources(each, f"{here}/")
        else:
            yield here, each.read_text(encoding="utf-8")


def _released(text: str) -> str:
    for word, release in RELEASES.items():
        text = text.replace(word, release)
    return text


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


TARGET: Final = Target(
    "mobile", write, (in_node_as_on_a_phone,), sizes, react_native.runtimes, (halves, tokens, natives),
    options=frozenset({UPDATES}), notes=lite.why_not, instead=dict.fromkeys(lite.FORMATS, lite.target),
)  # fmt: skip
