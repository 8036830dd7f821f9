"""Texts on a device: a model that reads them as a network of tokens, and the tokenizer that goes beside it.

The contract stays that of the server: a text goes in, its vector or its class and the number of tokens come out. What
is written of the tokenizer for devices stands in `tokenizer_file.py`; here, the same model in this process, to measure
variants by.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.convert_text import IDS, KIND, MODEL, network_signature
from servable.bundles.elsewhere.messages import Make
from servable.bundles.elsewhere.process import Elsewhere
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.signature import Signature
from servable.edge.tokenizer_file import Tokenizer, read
from servable.errors import MissingExtra, Unsupported
from servable.runtimes import verified
from servable.runtimes.find import runtime
from servable.runtimes.huggingface.encoders import TASKS, TEXT, TOKENS
from servable.runtimes.huggingface.folder import judge
from servable.runtimes.huggingface.tasks import TASKS as ALL
from servable.sandbox.walls import of_model

TOKENIZER: Final = "tokenizer.json"
VOCABULARY: Final = "vocabulary.txt"


class Texts(msgspec.Struct, frozen=True):
    """How a model reads texts: by which tokens, at most how many of them (`longest`; 0: all), and `signature` of the
    network that takes these.
    """

    tokenizer: Tokenizer
    longest: int
    signature: Signature

    def contract(self) -> dict[str, Any]:
        """What devices are told."""
        data = self.tokenizer.file()
        file = {"path": VOCABULARY, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        return {"file": file, "longest": self.longest, **self.tokenizer.settings()}

    def scripts(self) -> tuple[str, ...]:
        """The modules of the client that make tokens, which other models do without."""
        return "special", self.tokenizer.kind


def texts_of(bundle: Bundle) -> Texts:
    """How the model of a bundle reads texts. Raises Unsupported that says what devices do not know of it."""
    with verified.copied(bundle) as path:
        folder = judge(path, ALL)
        if folder.task not in TASKS:
            raise Unsupported(f"it is for {folder.task}, and folders that embed or classify texts are converted")
        if not (path / TOKENIZER).is_file():
            raise Unsupported(f"it has no {TOKENIZER}: save its tokenizer again with a current transformers")
        return Texts(read((path / TOKENIZER).read_bytes()), folder.longest, network_signature(folder))


def network_of(bundle: Bundle) -> bytes:
    """The network behind the tokenizer, as ONNX, converted behind walls. Raises ConversionRejected, MissingExtra."""
    plugin = runtime(bundle.manifest.format)
    with verified.copied(bundle) as path, Elsewhere(path.name, of_model(path), plugin) as there:
        return there.made(Make(KIND, str(path), bundle.name, "onnx")).made[MODEL]


class Reader:
    """Answers to texts, one by one, by the network of an edition: what a device does, done here."""

    concurrent = False

    def __init__(self, network: Model, texts: Texts, outputs: tuple[str, ...]) -> None:
        try:
            from tokenizers import Tokenizer as Library
        except ImportError as error:
            raise MissingExtra("huggingface", "make tokens of texts", missing=error.name) from error
        self._network = network
        self._outputs = outputs
        self._library: Any = Library.from_str(texts.tokenizer.source.decode())
        self._library.no_padding()
        self._library.no_truncation()
        if texts.longest:
            self._library.enable_truncation(texts.longest)

    def predict(self, batch: Batch) -> Batch:
        if not batch.rows:
            return self.predict(Batch({TEXT: np.array([""], object)})).slice(0, 0)
        parts = [self._read(text) for text in batch[TEXT].reshape(-1).tolist()]
        return Batch({name: np.concatenate([part[name] for part in parts]) for name in self._outputs}, batch.rows)

    def _read(self, text: str) -> Batch:
        ids = np.array([self._library.encode(text).ids], np.int64)
        answer = self._network.predict(Batch({IDS: ids}))
        return Batch({**answer.columns, TOKENS: np.array([ids.shape[1]], np.int64)})

    def close(self) -> None:
        self._network.close()
