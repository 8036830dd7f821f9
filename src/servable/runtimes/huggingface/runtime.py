"""Hugging Face models from a local folder, by transformers: for the tasks in `tasks.py`.

Runs in a model process, offline: nothing is looked up on a hub, and no code of the folder's own is run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection, labels_of
from servable.domain.signature import Signature
from servable.errors import CorruptModel, MissingExtra
from servable.runtimes import verified
from servable.runtimes.devices import only_cpu
from servable.runtimes.huggingface.folder import Folder, is_model_folder, judge
from servable.runtimes.huggingface.task import AskedModel, Loaded, Task
from servable.runtimes.huggingface.tasks import TASKS

_OFFLINE: Final = dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"), "1")


class HuggingFaceRuntime:
    """The plugin. Options of the manifest: `threads` of a call, and what the task's file names."""

    name = "huggingface"
    platform = "huggingface_transformers"
    isolated = True

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - it is a folder
        return is_model_folder(path)

    def inspect(self, path: Path) -> Inspection:
        """The contract that the folder's configuration states. Loads nothing."""
        folder = judge(path, TASKS)
        task = TASKS[folder.task]
        task.judge(folder, path.name)
        outputs = task.outputs(folder)
        libraries = {"transformers": folder.version} if folder.version else {}
        return Inspection(Signature(task.inputs, outputs), labels_of(outputs), libraries)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("Hugging Face models", device, "convert to ONNX to use a GPU")
        with verified.copied(bundle) as path:
            folder = judge(path, TASKS)
            task = TASKS[folder.task]
            loaded = read_parts(task, folder, path, bundle.manifest.options)
        loaded.torch.set_num_threads(int(bundle.manifest.options.get("threads", 1)))
        made = task.made(loaded, folder)
        return AskedModel(made, bundle.signature) if callable(made) else made


def read_parts(task: Task, folder: Folder, path: Path, options: dict[str, Any]) -> Loaded:
    """What the task needs from the folder. Raises MissingExtra, CorruptModel."""
    os.environ.update(_OFFLINE)
    try:
        import torch
        import transformers

        if task.pictures:
            import PIL  # noqa: F401 - the library asks for it only as it reads the first picture
    except ImportError as error:
        raise MissingExtra("huggingface", f"load {path.name!r}", missing=error.name) from error
    quiet: Any = transformers.logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    before = transformers.AutoImageProcessor if task.pictures else transformers.AutoTokenizer
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        prepare = before.from_pretrained(path, **local)
        model, told = getattr(transformers, task.kind).from_pretrained(
            path, use_safetensors=True, output_loading_info=True, **local
        )
    except Exception as error:  # a wall: a broken folder raises whatever the part that reads it does
        reason = " ".join(str(error).split())[:300]
        raise CorruptModel(f"transformers {transformers.__version__} cannot load {path.name!r}: {reason}") from error
    lacking = sorted(key for key in told["missing_keys"] if not (task.lacking and key.startswith(task.lacking)))
    if lacking or told["mismatched_keys"]:
        named = ", ".join(map(str, lacking or told["mismatched_keys"]))[:300]
        raise CorruptModel(f"{path.name!r} lacks weights, which would be random: {named}. Save the model again, whole")
    if folder.longest and not task.pictures:
        prepare.model_max_length = min(folder.longest, prepare.model_max_length)
    return Loaded(torch, transformers, prepare, model.eval(), options)
