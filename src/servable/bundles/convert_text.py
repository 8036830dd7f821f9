"""Conversion of a Hugging Face model that embeds texts to ONNX: from tokens of texts to their vectors.

What makes tokens of texts is not in it: whoever asks it brings a tokenizer. It is held against the original here, on
texts of several lengths. Runs where the folder is opened: behind walls. Needs transformers, torch and onnxscript.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.bundles.convert_network import OPSET, name_tensors
from servable.bundles.difference import differences
from servable.bundles.draft import Draft
from servable.bundles.source import FileSource
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Manifest
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, MissingExtra
from servable.runtimes.find import runtime
from servable.runtimes.huggingface.encoders import EMBEDDING, TASKS, pooled
from servable.runtimes.huggingface.folder import judge
from servable.runtimes.huggingface.runtime import read_parts

IDS: Final = "input_ids"
EMBEDS: Final = "feature-extraction"
KIND: Final = "huggingface"
MODEL: Final = "model.onnx"
MOST_TOKENS: Final = 1 << 20
SHAPES: Final = ((1, 2), (1, 17), (3, 8))
MOST_ID: Final = 100
"""Numbers that every vocabulary has."""


def network_signature(width: int) -> Signature:
    """The contract of the network: tokens of texts of one length, and a vector for each text."""
    return Signature((Field(IDS, "INT64", (-1, -1)),), (Field(EMBEDDING, "FP32", (-1, width), values="any"),))


def to_onnx(path: Path) -> bytes:
    """The network of the folder at `path`. Raises ConversionRejected, MissingExtra, CorruptModel, UnsafeModel."""
    folder = judge(path, TASKS)
    if folder.task != EMBEDS:
        raise ConversionRejected(f"{path.name!r} is for {folder.task}: folders that embed texts are converted to ONNX")
    torch, _, _, model, _ = read_parts(TASKS[EMBEDS], folder, path, {})
    try:
        import onnxscript  # noqa: F401 - torch's exporter wants it
    except ImportError as error:
        raise MissingExtra("convert", f"convert {path.name!r} to ONNX", missing=error.name) from error

    class Network(torch.nn.Module):  # type: ignore[misc, name-defined] # a class of a module that is imported here
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, ids: Any) -> Any:
            mask = torch.ones_like(ids)
            return pooled(torch, folder, self.inner(input_ids=ids, attention_mask=mask).last_hidden_state, mask)

    network = Network().eval()
    free = {0: torch.export.Dim("rows"), 1: torch.export.Dim("tokens", max=folder.longest or MOST_TOKENS)}
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)  # it names libraries of images that are not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.onnx.export(
                network, (torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]),), opset_version=OPSET, dynamo=True,
                verbose=False, dynamic_shapes=(free,),
            )  # fmt: skip
    except Exception as error:  # a wall: the exporter raises anything for what it does not know
        raise ConversionRejected(f"to ONNX: {' '.join(str(error).split())[:300]}") from error
    finally:
        exporter.setLevel(level)
    proto = made.model_proto
    name_tensors(proto.graph, [IDS], [EMBEDDING])
    data = bytes(proto.SerializeToString())
    _hold(data, lambda ids: network(torch.from_numpy(ids)).detach().numpy())
    return data


def _hold(data: bytes, original: Callable[[Array], Array]) -> None:
    """Raise ConversionRejected unless the two agree on tokens drawn at random, of several numbers and lengths."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    for rows, tokens in SHAPES:
        ids = random.integers(0, MOST_ID, (rows, tokens))
        (found,) = session.run([EMBEDDING], {IDS: ids})
        (part,) = differences(Batch({EMBEDDING: original(ids)}), Batch({EMBEDDING: found}))
        if part.count:
            raise ConversionRejected(f"converted to ONNX, it differs on {rows} texts of {tokens} tokens: {part}")


def draft(source: FileSource, name: str) -> Draft:
    """The draft of a bundle of the network. Raises as `to_onnx`."""
    data = to_onnx(source.path)
    signature = network_signature(judge(source.path, TASKS).width)
    libraries = {**source.seen.libraries, "onnxruntime": version("onnxruntime")}
    stated = Manifest(
        name=name, format="onnx", model=MODEL, platform=runtime("onnx").platform, signature=signature, files=(),
        libraries=libraries, lineage={"source": source.path.name, "conversion": "huggingface to ONNX"},
    )  # fmt: skip
    return Draft(stated, {MODEL: data})
