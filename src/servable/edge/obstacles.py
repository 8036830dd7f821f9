"""What keeps a model from a device: each thing that stands in the way, and what would remove it. Empty: it can go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from servable.domain.bundle import Bundle
from servable.domain.rule import Rule
from servable.edge.edition import TEXTS
from servable.edge.texts import texts_of
from servable.errors import Unsupported
from servable.runtimes import onnx_external, verified
from servable.runtimes.find import runtime

MOST_BYTES: Final = 500_000_000
"""A WebAssembly module has 4 GiB of memory, a tab of a phone far less; the model is in it twice while it loads."""


_CONVERTED: Final = "Pack it with --to onnx and a sample, which converts it where the result is proven equal"
_FITTED: Final = "Pack the fitted model itself, in Python: servable.pack(model, sample=...) converts it to ONNX"
_REMADE: Final = "Serve it from a server, or train a model for the device that packing converts to ONNX"
_FROZEN: Final = "Make a version of what it has learned by now: servable learning rebuild NAME --frozen --to onnx"
_FIXES: Final = {
    "sklearn": _CONVERTED,
    "tensorflow": _CONVERTED,
    "keras": _CONVERTED,
    "pytorch": _CONVERTED,
    "pickle": "Pack it with --allow-unsafe, --to onnx and a sample, which converts it where the result is proven equal",
    "xgboost": _FITTED,
    "lightgbm": _FITTED,
    "catboost": _FITTED,
    "torchscript": "Export the model with torch.export (a .pt2 file), or to ONNX, and pack that",
    "safetensors": "Export the model with torch.export (a .pt2 file), or to ONNX, and pack that",
    "tflite": "Export the model that it was made from to ONNX (tf2onnx reads .tflite files too), and pack that",
    "pmml": "Pack the model that the PMML was written from",
    "pmml-jvm": "Pack the model that the PMML was written from",
    "gguf": "Serve it from a server: language models of this form run in llama.cpp",
    "learner": _FROZEN,
    "python": "Serve it from a server, or export the network inside to ONNX and pack that",
    "python-learner": _FROZEN,
}
"""What brings a model of a format to ONNX, where something does."""


class Obstacle(msgspec.Struct, frozen=True):
    """What stands in the way, and what would fix it."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}. {self.fix}"


Check = Callable[[Bundle], Iterator[Obstacle]]
"""What else stands in the way of one target."""


def obstacles(bundle: Bundle, own: Sequence[Check] = (), *, lite: bool = False, server: bool = False) -> list[Obstacle]:
    """All of them, with those of the target's own; it runs ONNX, or TFLite where `lite` says so. `server`: one answers
    where the device cannot.
    """
    runs: Sequence[Check] = () if lite else (_of_format,)
    alone: Sequence[Check] = () if server else (_of_fallbacks,)
    return [each for check in (*runs, *own, *alone, _of_rules) for each in check(bundle)]


def halves(bundle: Bundle) -> Iterator[Obstacle]:
    """Of a browser."""
    for field in bundle.signature.inputs:
        if field.datatype == "FP16":
            yield Obstacle(
                f"input {field.name!r} is FP16, which not every browser can hand over",
                "Keep inputs FP32; weights may be FP16 all the same",
            )


def tokens(bundle: Bundle) -> Iterator[Obstacle]:
    """Of a target that has the model alone."""
    if bundle.manifest.format == TEXTS:
        yield Obstacle(
            "it takes texts by tokens, which only the client for browsers and Node makes",
            "Export it with --target browser, whose package runs in Node too",
        )


def _of_format(bundle: Bundle) -> Iterator[Obstacle]:
    stated = bundle.manifest
    if stated.format == TEXTS:
        yield from _of_texts(bundle)
        return
    if stated.format != "onnx":
        rejected = stated.lineage.get("rejected", [])
        because = f" (packing tried: {'; '.join(map(str, rejected))})" if rejected else ""
        code = "it runs foreign code" if runtime(stated.format).isolated else f"its format is {stated.format}"
        fix = _FIXES.get(stated.format, _REMADE)
        # What packing tried already brings nothing if it is done again.
        yield Obstacle(f"{code}, and a device runs ONNX only{because}", _REMADE if rejected and fix == _FITTED else fix)
        return
    data = verified.read(bundle)
    if outside := onnx_external.locations(data):
        yield Obstacle(
            f"its weights lie in files beside the model ({', '.join(outside)})",
            "Save it as one file: onnx.save(model, path, save_as_external_data=False)",
        )
    size = sum(file.bytes for file in stated.files if file.path == stated.model)
    if size > MOST_BYTES:
        yield Obstacle(
            f"its model has {size:,} bytes, and a device takes at most {MOST_BYTES:,}",
            "Serve it from a server, or train or distil a smaller one",
        )


def _of_texts(bundle: Bundle) -> Iterator[Obstacle]:
    try:
        texts_of(bundle)
    except Unsupported as error:
        yield Obstacle(
            error.message,
            "Serve it from a server, or take a model of BERT's or RoBERTa's family that embeds or classifies texts",
        )


def handing(bundle: Bundle) -> list[Rule]:
    """The rules that hand rows over to another model."""
    return [rule for rule in bundle.manifest.rules if rule.action == "fallback"]


def _of_fallbacks(bundle: Bundle) -> Iterator[Obstacle]:
    for rule in handing(bundle):
        yield Obstacle(
            f"rule {rule.name!r} hands rows over to {rule.fallback!r}, which is not on the device",
            "Export it to a browser or a desktop with --server URL, which is asked for these rows then, or give the "
            'version for devices a rule with action "answer" or "refuse": servable rules apply',
        )


def _of_rules(bundle: Bundle) -> Iterator[Obstacle]:
    for rule in bundle.manifest.rules:
        if rule.distance and (dates := _dates(bundle, rule)):
            yield Obstacle(
                f"rule {rule.name!r} measures the distance of dates ({', '.join(dates)}), which devices do not",
                "Name the other columns in its 'columns': servable rules apply",
            )


def _dates(bundle: Bundle, rule: Rule) -> list[str]:
    """The dates among the columns of a distance."""
    own = [field.name for field in bundle.signature.inputs if field.content == "date"]
    return [name for name in own if not rule.columns or name in rule.columns]
