"""Conversion of a Hugging Face model that embeds or classifies texts to ONNX: from tokens of texts to the answers.

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
from servable.bundles.text_head import add_head, numbers_name
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Manifest
from servable.domain.field import Field
from servable.domain.runtime import labels_of
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, MissingExtra
from servable.runtimes.find import runtime
from servable.runtimes.huggingface.encoders import TASKS, TOKENS, answers, pooled
from servable.runtimes.huggingface.folder import Folder, judge
from servable.runtimes.huggingface.runtime import read_parts
from servable.runtimes.huggingface.tasks import TASKS as ALL

IDS: Final = "input_ids"
KIND: Final = "huggingface"
MODEL: Final = "model.onnx"
MOST_TOKENS: Final = 1 << 20
SHAPES: Final = ((1, 2), (1, 17), (3, 8))
MOST_ID: Final = 100
"""Numbers that every vocabulary has."""


def network_signature(folder: Folder) -> Signature:
    """The contract of the network: tokens of texts of one length, and for each text what the folder answers."""
    outputs = tuple(field for field in TASKS[folder.task].outputs(folder) if field.name != TOKENS)
    return Signature((Field(IDS, "INT64", (-1, -1)),), outputs)


def to_onnx(path: Path) -> bytes:
    """The network of the folder at `path`. Raises ConversionRejected, MissingExtra, CorruptModel, UnsafeModel."""
    folder = judge(path, ALL)
    if folder.task not in TASKS:
        raise ConversionRejected(
            f"{path.name!r} is for {folder.task}: folders that embed or classify texts are converted to ONNX"
        )
    torch, _, _, model, _ = read_parts(TASKS[folder.task], folder, path, {})
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
            answer = self.inner(input_ids=ids, attention_mask=mask)
            return answer.logits if folder.labels else pooled(torch, folder, answer.last_hidden_state, mask)

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
    name_tensors(proto.graph, [IDS], [numbers_name(folder)])
    add_head(proto.graph, folder)
    data = bytes(proto.SerializeToString())
    _hold(data, folder, lambda ids: np.asarray(network(torch.from_numpy(ids)).detach().numpy()))
    return data


def _hold(data: bytes, folder: Folder, original: Callable[[Array], Array]) -> None:
    """Raise ConversionRejected unless the two agree on tokens drawn at random, of several numbers and lengths."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [field.name for field in network_signature(folder).outputs]
    random = np.random.default_rng(0)
    for rows, tokens in SHAPES:
        ids = random.integers(0, MOST_ID, (rows, min(tokens, folder.longest or tokens)))
        found = Batch(dict(zip(names, session.run(names, {IDS: ids}), strict=True)))
        for part in differences(Batch(answers(folder, original(ids))), found):
            if part.count:
                raise ConversionRejected(f"converted to ONNX, it differs on {rows} texts of {tokens} tokens: {part}")


def draft(source: FileSource, name: str) -> Draft:
    """The draft of a bundle of the network. Raises as `to_onnx`."""
    data = to_onnx(source.path)
    signature = network_signature(judge(source.path, TASKS))
    libraries = {**source.seen.libraries, "onnxruntime": version("onnxruntime")}
    stated = Manifest(
        name=name, format="onnx", model=MODEL, platform=runtime("onnx").platform, signature=signature, files=(),
        labels=labels_of(signature.outputs), libraries=libraries,
        lineage={"source": source.path.name, "conversion": "huggingface to ONNX"},
    )  # fmt: skip
    return Draft(stated, {MODEL: data})
