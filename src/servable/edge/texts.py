"""Texts on a device: a model that embeds them as a network of tokens, and the tokenizer that goes beside it.

The contract stays that of the server: a text goes in, a vector and the number of tokens come out. Here stand what is
written of the tokenizer for `client/wordpiece.js`, and the same model in this process, to measure variants by.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.convert_text import EMBEDS, KIND, MODEL, network_signature
from servable.bundles.elsewhere.messages import Make
from servable.bundles.elsewhere.process import Elsewhere
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.signature import Signature
from servable.errors import MissingExtra, Unsupported
from servable.runtimes import verified
from servable.runtimes.find import runtime
from servable.runtimes.huggingface.encoders import EMBEDDING, TEXT, TOKENS
from servable.runtimes.huggingface.folder import Folder, judge
from servable.runtimes.huggingface.tasks import TASKS as ALL
from servable.sandbox.walls import of_model

TOKENIZER: Final = "tokenizer.json"
VOCABULARY: Final = "vocabulary.txt"
_IDS: Final = "input_ids"


class Tokenizer(msgspec.Struct, frozen=True):
    """What `tokenizer.json` says, checked to be of the kind that devices know. `special` are tokens that stand for
    themselves in a text; `start` and `end` stand around each; `longest` is how many are read, 0: all.
    """

    source: bytes
    vocabulary: tuple[str, ...]
    special: dict[str, int]
    start: tuple[int, ...]
    end: tuple[int, ...]
    unknown: int
    continues: str
    most_letters: int
    clean: bool
    ideographs: bool
    accents: bool
    lowercase: bool
    longest: int
    width: int

    @property
    def signature(self) -> Signature:
        """The contract of the network behind it."""
        return network_signature(self.width)

    def settings(self) -> dict[str, Any]:
        """What the device is told, beside the vocabulary."""
        left_out = {"source", "vocabulary", "width"}
        told: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in told.items() if key not in left_out}

    def file(self) -> bytes:
        """The vocabulary, a token a line, in the order of their numbers."""
        return "\n".join(self.vocabulary).encode()


def tokenizer_of(bundle: Bundle) -> Tokenizer:
    """The tokenizer of a bundle that embeds texts. Raises Unsupported that says what devices do not know of it."""
    with verified.copied(bundle) as path:
        folder = judge(path, ALL)
        if folder.task != EMBEDS:
            raise Unsupported(f"it is for {folder.task}, and folders that embed texts are converted for devices")
        if not (path / TOKENIZER).is_file():
            raise Unsupported(f"it has no {TOKENIZER}: save its tokenizer again with a current transformers")
        return _read((path / TOKENIZER).read_bytes(), folder)


def network_of(bundle: Bundle) -> bytes:
    """The network behind the tokenizer, as ONNX, converted behind walls. Raises ConversionRejected, MissingExtra."""
    plugin = runtime(bundle.manifest.format)
    with verified.copied(bundle) as path, Elsewhere(path.name, of_model(path), plugin) as there:
        return there.made(Make(KIND, str(path), bundle.name, "onnx")).made[MODEL]


def _read(source: bytes, folder: Folder) -> Tokenizer:
    told = msgspec.json.decode(source)
    model, normal = told.get("model") or {}, told.get("normalizer") or {}
    before, after = told.get("pre_tokenizer") or {}, told.get("post_processor") or {}
    kinds = [str(each.get("type")) for each in (model, normal, before)]
    if kinds != ["WordPiece", "BertNormalizer", "BertPreTokenizer"]:
        raise Unsupported(f"its tokenizer is {', '.join(kinds)}, and devices know WordPiece as BERT has it")
    added = told.get("added_tokens") or []
    if odd := [each["content"] for each in added if each["normalized"] or each["lstrip"] or each["rstrip"]]:
        raise Unsupported(f"its tokenizer treats {odd[0]!r} in a way that devices do not know")
    numbers = {str(token): int(number) for token, number in model["vocab"].items()}
    tokens = sorted(numbers, key=lambda token: numbers[token])
    if [numbers[token] for token in tokens] != list(range(len(tokens))) or any("\n" in token for token in tokens):
        raise Unsupported("its vocabulary is not numbered from 0 without gaps")
    start, end = _around(after)
    return Tokenizer(
        source,
        tuple(tokens),
        {each["content"]: each["id"] for each in added},
        start,
        end,
        numbers[model["unk_token"]],
        model["continuing_subword_prefix"],
        model["max_input_chars_per_word"],
        normal["clean_text"],
        normal["handle_chinese_chars"],
        normal["lowercase"] if normal["strip_accents"] is None else normal["strip_accents"],
        normal["lowercase"],
        folder.longest,
        folder.width,
    )


def _around(after: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens before and after those of a text."""
    if after.get("type") == "BertProcessing":
        return (int(after["cls"][1]),), (int(after["sep"][1]),)
    if after.get("type") != "TemplateProcessing":
        raise Unsupported(f"its tokenizer ends with {after.get('type')}, which devices do not know")
    parts: tuple[list[int], list[int]] = ([], [])
    side = 0
    for piece in after["single"]:
        if "Sequence" in piece:
            side = 1
        else:
            parts[side].extend(after["special_tokens"][piece["SpecialToken"]["id"]]["ids"])
    return tuple(parts[0]), tuple(parts[1])


class Embedder:
    """Texts to vectors, one by one, by the network of an edition: what a device does, done here."""

    concurrent = False

    def __init__(self, network: Model, tokenizer: Tokenizer, outputs: tuple[str, ...]) -> None:
        try:
            from tokenizers import Tokenizer as Library
        except ImportError as error:
            raise MissingExtra("huggingface", "make tokens of texts", missing=error.name) from error
        self._network = network
        self._outputs = outputs
        self._library: Any = Library.from_str(tokenizer.source.decode())
        self._library.no_padding()
        self._library.no_truncation()
        if tokenizer.longest:
            self._library.enable_truncation(tokenizer.longest)

    def predict(self, batch: Batch) -> Batch:
        if not batch.rows:
            return self.predict(Batch({TEXT: np.array([""], object)})).slice(0, 0)
        vectors, counts = [], []
        for text in batch[TEXT].reshape(-1).tolist():
            ids = np.array([self._library.encode(text).ids], np.int64)
            vectors.append(self._network.predict(Batch({_IDS: ids}))[EMBEDDING])
            counts.append(ids.shape[1])
        found = {EMBEDDING: np.concatenate(vectors), TOKENS: np.array(counts, np.int64)}
        return Batch({name: found[name] for name in self._outputs}, batch.rows)

    def close(self) -> None:
        self._network.close()
