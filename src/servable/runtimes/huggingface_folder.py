"""What a Hugging Face model folder says of itself: its task, labels and pooling. Judged from JSON alone, before the
library sees it.

Weights must be safetensors: the older `.bin` files are pickles. Code of the folder's own (`auto_map`), adapters that
lead to other models, and quantised weights are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from servable.errors import CorruptModel, IncompatibleModel, UnsafeModel

CONFIG: Final = "config.json"
LARGEST_JSON: Final = 64 << 20
_JUDGED: Final = (CONFIG, "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""Where the name of code of the folder's own may stand."""
_WIDTHS: Final = ("hidden_size", "dim", "d_model", "n_embd")
_CLASSIFIES: Final = "ForSequenceClassification"
_EMBEDS: Final = ("Model", "ForMaskedLM")
_MODULES: Final = ("Transformer", "Pooling", "Normalize")
_UNBOUNDED: Final = 1 << 20
"""What tokenizers write for: no limit."""

Pooling = Literal["mean", "cls", "max"]


class Folder(msgspec.Struct, frozen=True):
    """`task` is `text-classification` or `embedding`. `labels`: of a classifier, in the order of its numbers; one alone
    is a regression. `several`: each label is a yes or no of its own. `width` of an embedding, -1 where it is not said.
    `longest`: tokens of a text that are read; 0: the library knows. `version`: of transformers, as it was saved.
    """

    task: Literal["text-classification", "embedding"]
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


def judge(path: Path) -> Folder:
    """What the folder holds. Raises UnsafeModel, IncompatibleModel, CorruptModel."""
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
    return _described(path, config)


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


def _described(path: Path, config: dict[str, Any]) -> Folder:
    (architecture, *_) = config.get("architectures") or [""]
    version = str(config.get("transformers_version", ""))
    longest = _longest(path, config)
    if str(architecture).endswith(_CLASSIFIES):
        named = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
        try:
            labels = tuple(str(named[key]) for key in sorted(named, key=int))
        except (ValueError, TypeError, AttributeError) as error:
            raise CorruptModel(f"{path.name!r}: id2label in its config.json is broken: {error}") from error
        several = config.get("problem_type") == "multi_label_classification"
        return Folder("text-classification", labels, several, longest=longest, version=version)
    if str(architecture).endswith(_EMBEDS) or (path / "modules.json").is_file():
        pooling, normalize = _sentence(path)
        width = next((config[key] for key in _WIDTHS if isinstance(config.get(key), int)), -1)
        return Folder("embedding", width=width, pooling=pooling, normalize=normalize, longest=longest, version=version)
    raise IncompatibleModel(
        f"{path.name!r} is a {architecture or config.get('model_type')}: classifiers of text and models that embed it "
        "are served from such folders; export others to ONNX with optimum, language models to GGUF"
    )


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
    told.append(config.get("max_position_embeddings"))
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
