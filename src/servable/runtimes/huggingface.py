"""Hugging Face models from a local folder, by transformers: classifiers of text, and models that embed it.

Runs in a model process, offline: nothing is looked up on a hub, and no code of the folder's own is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection, labels_of
from servable.domain.signature import Signature
from servable.errors import CorruptModel, EnvironmentFault, MissingExtra, ModelFailed
from servable.runtimes import verified
from servable.runtimes.classes import LABEL, PREDICTION, PROBABILITIES, softmax
from servable.runtimes.huggingface_folder import Folder, is_model_folder, judge

TEXT: Final = "text"
EMBEDDING: Final = "embedding"
TOKENS: Final = "tokens"
TOGETHER: Final = 32
"""Texts of one call of the model: they are padded to the longest among them."""
_OFFLINE: Final = dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"), "1")
_UNUSED: Final = "pooler."
"""Weights that a model which embeds may lack: its answers come from before them."""

Answer = Callable[[Any, Any], Array]


class HuggingFaceRuntime:
    """The plugin."""

    name = "huggingface"
    platform = "huggingface_transformers"
    isolated = True

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - it is a folder
        return is_model_folder(path)

    def inspect(self, path: Path) -> Inspection:
        """The contract that the folder's configuration states. Loads nothing."""
        folder = judge(path)
        outputs = _outputs(folder)
        libraries = {"transformers": folder.version} if folder.version else {}
        return Inspection(Signature((Field(TEXT, "BYTES"),), outputs), labels_of(outputs), libraries)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        if device != "cpu":
            raise EnvironmentFault(f"Hugging Face models run on 'cpu' here, not on {device!r}: convert to ONNX")
        with verified.copied(bundle) as folder:
            return HuggingFaceModel(judge(folder), folder, bundle)


class HuggingFaceModel:
    """A model and its tokenizer, one call at a time. Texts of about the same length are computed together."""

    concurrent = False

    def __init__(self, folder: Folder, path: Path, bundle: Bundle) -> None:
        self._torch, self._tokenizer, self._model = _loaded(folder, path)
        self._torch.set_num_threads(int(bundle.manifest.options.get("threads", 1)))
        self._folder = folder
        self._outputs = [field.name for field in bundle.signature.outputs]

    def predict(self, batch: Batch) -> Batch:
        if self._model is None:
            raise ModelFailed("the model is closed")
        texts = batch.columns[TEXT].reshape(-1).tolist()
        try:
            answers, tokens = self._asked(texts)
        except Exception as error:
            raise ModelFailed(f"transformers: {' '.join(str(error).split())[:400]}") from error
        found = _answers(self._folder, answers) | {TOKENS: tokens}
        return Batch({name: found[name] for name in self._outputs}, batch.rows)

    def close(self) -> None:
        self._model = None

    def _asked(self, texts: list[str]) -> tuple[Array, Array]:
        """The model's numbers, and how many tokens were read, in the order of the texts."""
        if not texts:
            answers, tokens = self._asked([""])
            return answers[:0], tokens[:0]
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        parts, counts = [], []
        for start in range(0, len(order), TOGETHER):
            some, count = self._together([texts[at] for at in order[start : start + TOGETHER]])
            parts.append(some)
            counts.append(count)
        back = np.argsort(order)
        return np.concatenate(parts)[back], np.concatenate(counts)[back]

    def _together(self, texts: list[str]) -> tuple[Array, Array]:
        longest = {"max_length": self._folder.longest} if self._folder.longest else {}
        given = self._tokenizer(texts, padding=True, truncation=bool(longest), return_tensors="pt", **longest)
        with self._torch.inference_mode():
            answer = self._model(**given)
            mask = given["attention_mask"]
            found = self._pooled(answer.last_hidden_state, mask) if self._folder.task == EMBEDDING else answer.logits
        return np.asarray(found.float().numpy()), np.asarray(mask.sum(1).numpy(), np.int64)

    def _pooled(self, states: Any, mask: Any) -> Any:
        """One vector a text from those of its tokens [texts, tokens, width]; padding does not count."""
        wide = mask.unsqueeze(-1).to(states.dtype)
        if self._folder.pooling == "cls":
            found = states[:, 0]
        elif self._folder.pooling == "max":
            found = states.masked_fill(wide == 0, -float("inf")).amax(1)
        else:
            found = (states * wide).sum(1) / wide.sum(1).clamp(min=1e-9)
        return self._torch.nn.functional.normalize(found, dim=1) if self._folder.normalize else found


def _loaded(folder: Folder, path: Path) -> tuple[Any, Any, Any]:
    """torch, the tokenizer and the model. Raises MissingExtra, CorruptModel."""
    os.environ.update(_OFFLINE)
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra("huggingface", f"load {path.name!r}", missing=error.name) from error
    quiet: Any = transformers.logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    kind = transformers.AutoModel if folder.task == EMBEDDING else transformers.AutoModelForSequenceClassification
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        model, loaded = kind.from_pretrained(
            path, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # a wall: a broken folder raises whatever the part that reads it does
        reason = " ".join(str(error).split())[:300]
        raise CorruptModel(f"transformers {transformers.__version__} cannot load {path.name!r}: {reason}") from error
    lacking = sorted(
        key for key in loaded["missing_keys"] if not (folder.task == EMBEDDING and key.startswith(_UNUSED))
    )
    if lacking or loaded["mismatched_keys"]:
        named = ", ".join(map(str, lacking or loaded["mismatched_keys"]))[:300]
        raise CorruptModel(f"{path.name!r} lacks weights, which would be random: {named}. Save the model again, whole")
    return torch, tokenizer, model.eval()


def _answers(folder: Folder, numbers: Array) -> dict[str, Array]:
    """Outputs from the model's numbers [texts, n]."""
    if folder.task == EMBEDDING:
        return {EMBEDDING: numbers}
    if len(folder.labels) == 1:
        return {PREDICTION: numbers[:, 0]}
    if folder.several:
        return {PROBABILITIES: (1 / (1 + np.exp(-numbers))).astype(np.float32)}
    names = np.array(folder.labels, object)
    return {LABEL: names[numbers.argmax(axis=1)], PROBABILITIES: softmax(numbers)}


def _outputs(folder: Folder) -> tuple[Field, ...]:
    counted = Field(TOKENS, "INT64")
    if folder.task == EMBEDDING:
        return Field(EMBEDDING, "FP32", (-1, folder.width), values="any"), counted
    if len(folder.labels) == 1:
        return Field(PREDICTION, "FP32", values="any"), counted
    shares = Field(PROBABILITIES, "FP32", (-1, len(folder.labels)), folder.labels, values="any")
    return (shares, counted) if folder.several else (Field(LABEL, "BYTES"), shares, counted)
