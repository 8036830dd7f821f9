"""What a Hugging Face model folder says of itself: its task, labels and pooling. Judged from JSON alone, before the
library sees it.

Weights must be safetensors: the older `.bin` files are pickles. Code of the folder's own (`auto_map`), adapters that
lead to other models, and quantised weights are refused.
"""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from servable.errors import CorruptModel, IncompatibleModel, UnsafeModel

CONFIG: Final = "config.json"
LARGEST_JSON: Final = 64 << 20
_JUDGED: Final = (CONFIG, "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""Where the name of code of the folder's own may stand."""
_WIDTHS: Final = ("hidden_size", "dim", "d_model", "n_embd")
_TASKS: Final = {
    "ForSequenceClassification": ("text-classification", "zero-shot-classification"),
    "ForTokenClassification": ("token-classification",),
    "ForQuestionAnswering": ("question-answering",),
    "ForImageClassification": ("image-classification",),
    "ForCausalLM": ("text-generation",),
    "LMHeadModel": ("text-generation",),
    "ForConditionalGeneration": ("text2text-generation",),
    "MTModel": ("text2text-generation",),
    "ForMaskedLM": ("feature-extraction", "fill-mask"),
    "Model": ("feature-extraction",),
}
"""The end of an architecture's name (the longest counts), what it is for if its card does not say, and what else."""
_SAME: Final = {
    "sentiment-analysis": "text-classification", "ner": "token-classification", "summarization": "text2text-generation",
    "translation": "text2text-generation", "sentence-similarity": "feature-extraction",
}  # fmt: skip
"""Other names of tasks."""
_CARD: Final = re.compile(r"\A---\s*\n(?:(?!---).*\n)*?pipeline_tag:\s*['\"]?([\w-]+)", re.MULTILINE)
"""The line of a model card's head that says what the model is for."""
_HEAD: Final = 1 << 16
_MODULES: Final = ("Transformer", "Pooling", "Normalize")
_UNBOUNDED: Final = 1 << 20
"""What tokenizers write for: no limit."""

Pooling = Literal["mean", "cls", "max"]


class Folder(msgspec.Struct, frozen=True):
    """`task`: by transformers' name of it. `labels`: of a classifier, in the order of its numbers; one alone
    is a regression. `several`: each label is a yes or no of its own. `width` of an embedding, -1 where it is not said.
    `longest`: tokens of a text that are read; 0: the library knows. `version`: of transformers, as it was saved.
    """

    task: str
    labels: tuple[str, ...] = ()
    several: bool = False
    width: int = -1
    pooling: Pooling = "mean"
    normalize: bool = False
    longest: int = 0
    version: str = ""


def is_model_folder(path: Path) -> bool:
    """Whether there is the configuration of a transformers model in the folder."""
    if not path.is_dir() or not (path / CONFIG).is_file():
        return False
    try:
        config = _json(path / CONFIG)
    except CorruptModel:
        return any(path.glob("*.safetensors"))
    return isinstance(config, dict) and ("model_type" in config or "architectures" in config)


def judge(path: Path, served: Container[str]) -> Folder:
    """What the folder holds, for one of the tasks that are `served`. Raises UnsafeModel, IncompatibleModel,
    CorruptModel.
    """
    config = _json(path / CONFIG)
    if not isinstance(config, dict):
        raise CorruptModel(f"{path.name!r}: its config.json is no object")
    for name in _JUDGED:
        if (path / name).is_file() and _holds_code(_json(path / name)):
            raise UnsafeModel(
                f"{path.name!r} brings code of its own ({name}: auto_map), which would run as it is loaded. Nothing "
                "was loaded. If you trust it, wrap it in Python of your own (servable.PythonModel) and pack that"
            )
    _judge_weights(path)
    if config.get("quantization_config"):
        raise IncompatibleModel(f"{path.name!r} is quantised, which is not served: save plain weights")
    return _described(path, config, _task(path, config, served))


def _judge_weights(path: Path) -> None:
    if (path / "adapter_config.json").exists():
        raise IncompatibleModel(f"{path.name!r} is an adapter of another model: merge the two and save the result")
    index = path / "model.safetensors.index.json"
    if index.is_file():
        named = _json(index)
        parts = set((named.get("weight_map") or {}).values()) if isinstance(named, dict) else set()
        for part in parts:
            if not isinstance(part, str) or Path(part).name != part:
                raise UnsafeModel(f"{path.name!r}: its weights lead out of the folder: {part!r}. Nothing was loaded")
            if not (path / part).is_file():
                raise CorruptModel(f"{path.name!r} lacks {part!r}, which holds some of its weights: copy it whole")
    elif not (path / "model.safetensors").is_file():
        if any(path.glob("*.bin")) or any(path.glob("*.pt")):
            raise UnsafeModel(
                f"{path.name!r} holds its weights as a pickle, which runs code when it is opened. Nothing was loaded. "
                "Save the model with safe_serialization=True"
            )
        raise CorruptModel(f"{path.name!r} has no weights: expected model.safetensors")


def _task(path: Path, config: dict[str, Any], served: Container[str]) -> str:
    """What the model is for: as its card says, where its architecture is made for that; else by its architecture."""
    (architecture, *_) = config.get("architectures") or [""]
    if (path / "modules.json").is_file():
        return "feature-extraction"
    ends = [end for end in _TASKS if str(architecture).endswith(end)]
    usual, *others = _TASKS[max(ends, key=len)] if ends else [""]
    card = _card(path)
    task = card if card in others else usual
    sees = any((path / name).is_file() for name in _JUDGED[2:])
    if task in served and sees == (task == "image-classification"):
        return task
    raise IncompatibleModel(
        f"{path.name!r} is a {architecture or config.get('model_type')}{f' for {card}' if card else ''}, which is not "
        "served from such a folder: export it to ONNX with optimum, or wrap it in Python of your own "
        "(servable.PythonModel)"
    )


def _card(path: Path) -> str:
    """The task in the head of the folder's README.md; empty if there is none."""
    try:
        with (path / "README.md").open(encoding="utf-8", errors="replace") as file:
            found = _CARD.match(file.read(_HEAD))
    except OSError:
        return ""
    return _SAME.get(found[1], found[1]) if found else ""


def _described(path: Path, config: dict[str, Any], task: str) -> Folder:
    version = str(config.get("transformers_version", ""))
    longest = _longest(path, config)
    if task == "feature-extraction":
        pooling, normalize = _sentence(path)
        width = next((config[key] for key in _WIDTHS if isinstance(config.get(key), int)), -1)
        return Folder(task, width=width, pooling=pooling, normalize=normalize, longest=longest, version=version)
    named = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        labels = tuple(str(named[key]) for key in sorted(named, key=int))
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptModel(f"{path.name!r}: id2label in its config.json is broken: {error}") from error
    several = config.get("problem_type") == "multi_label_classification"
    return Folder(task, labels, several, longest=longest, version=version)


def _sentence(path: Path) -> tuple[Pooling, bool]:
    """How token vectors become one of a sentence: as sentence-transformers wrote it down; else their mean."""
    if not (path / "modules.json").is_file():
        return "mean", False
    modules = _json(path / "modules.json")
    pooling: Pooling = "mean"
    kinds = []
    for module in modules if isinstance(modules, list) else []:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _MODULES:
            raise IncompatibleModel(f"{path.name!r} has a step {kind!r} after its model, which is not served")
        kinds.append(kind)
        place = str(module.get("path", ""))
        if kind == "Pooling" and Path(place).name == place and (path / place / CONFIG).is_file():
            pooling = _pooling(_json(path / place / CONFIG), path.name)
    return pooling, "Normalize" in kinds


def _pooling(config: Any, name: str) -> Pooling:
    modes = {key for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    known: dict[str, Pooling] = {
        "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max",
    }  # fmt: skip
    found = [known[mode] for mode in modes if mode in known]
    if len(modes) != 1 or not found:
        raise IncompatibleModel(
            f"{name!r} pools by {', '.join(sorted(modes)) or 'nothing'}: mean, cls or max is served"
        )
    return found[0]


def _longest(path: Path, config: dict[str, Any]) -> int:
    told = []
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        if (path / name).is_file() and isinstance(read := _json(path / name), dict):
            told.append(read.get(key))
    told.extend(config.get(key) for key in ("max_position_embeddings", "n_positions"))
    return min((int(each) for each in told if isinstance(each, (int, float)) and 0 < each < _UNBOUNDED), default=0)


def _holds_code(entry: Any) -> bool:
    return isinstance(entry, dict) and bool(entry.get("auto_map") or entry.get("custom_pipelines"))


def _json(path: Path) -> Any:
    """Raises CorruptModel."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise CorruptModel(f"{path.name!r} is larger than {LARGEST_JSON >> 20} MiB")
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise CorruptModel(f"{path.name!r} of {path.parent.name!r} is broken or cut off: {error}") from error
