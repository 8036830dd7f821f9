"""GGUF language models, by llama.cpp: they make texts piece by piece (`generate`), and complete rows of prompts
(`predict`).

The engine batches on its own: each of its slots answers one prompt, and all slots share every step through the weights.
The file is data, but its reader is C++, so the model lives in a process of its own. Its head is read by `gguf_file.py`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Final

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.generation import Finish, Generator, Piece, Prompt, Say
from servable.domain.runtime import Inspection
from servable.errors import BundleError, CorruptModel, EnvironmentFault, InvalidInput, MissingExtra, ModelFailed
from servable.runtimes import verified
from servable.runtimes.completion import SIGNATURE, TOKENS, completed
from servable.runtimes.devices import CPU, kind_and_number
from servable.runtimes.gguf_file import MAGIC, read

SLOTS: Final = 4
CONTEXT: Final = 2048
"""Tokens of prompt and answer together, for each slot; less where the model was trained on less."""
LARGEST: Final = {"slots": 256, "context": 1 << 20, "threads": 1024, "max_tokens": 1 << 20}
QUIET: Final = -1


class GgufRuntime:
    """Options of the manifest: `slots` (prompts at once), `context` (tokens each), `threads`, `max_tokens` of a row."""

    name = "gguf"
    platform = "llama_cpp_gguf"
    isolated = True
    listens = True
    """The engine insists on a socket to listen on: a Unix one, in its scratch folder. Nobody connects to it."""

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.is_file() and head.startswith(MAGIC)

    def inspect(self, path: Path) -> Inspection:
        file = read(path)
        if not file.tensors or not file.architecture:
            raise CorruptModel(f"{path.name!r} holds no model: {file.tensors} tensors, architecture not stated")
        context = min(CONTEXT, file.trained_context or CONTEXT)
        return Inspection(SIGNATURE, libraries={}, options={"context": context, "slots": SLOTS})

    def load(self, bundle: Bundle, device: str = "cpu") -> Generator:
        options = {name: _whole(bundle, name) for name in LARGEST if name in bundle.manifest.options}
        engine = _engine(bundle, options, device)
        return GgufModel(engine, options.get("slots", SLOTS), options.get("max_tokens", TOKENS))


class GgufModel:
    """The engine. Its callers' threads wait in it while its own threads compute."""

    concurrent = True

    def __init__(self, engine: Any, slots: int, max_tokens: int) -> None:
        self._engine = engine
        self.slots = slots
        self._max_tokens = max_tokens

    def generate(self, prompt: Prompt, say: Say) -> None:
        engine = self._engine
        if engine is None:
            raise ModelFailed("the model is closed")
        answer = _Answer(say)
        call = engine.handle_chat_completions if prompt.messages else engine.handle_completions
        call(request_of(prompt), answer.heard)
        answer.end()

    def predict(self, batch: Batch) -> Batch:
        return completed(self.generate, batch, self._max_tokens)

    def close(self) -> None:
        self._engine = None


def request_of(prompt: Prompt) -> dict[str, Any]:
    """What the engine is asked: its own form of an OpenAI request."""
    asked: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": prompt.max_tokens or -1,
        "temperature": prompt.temperature,
        "top_p": prompt.top_p,
        "frequency_penalty": prompt.frequency_penalty,
        "presence_penalty": prompt.presence_penalty,
        "stop": list(prompt.stop),
        # Reported while a long prompt is read, so that one whose caller is gone can be given up.
        "return_progress": True,
    }
    if prompt.seed is not None:
        asked["seed"] = prompt.seed
    if prompt.messages:
        asked["messages"] = [{"role": message.role, "content": message.content} for message in prompt.messages]
    else:
        asked["prompt"] = prompt.text
    return asked


class _Answer:
    """What the engine says of one prompt, turned into pieces. The last is held back until its counts have come."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._left = False
        self._finish: Finish = ""
        self._usage: dict[str, int] = {}
        self._error: dict[str, Any] | None = None

    def heard(self, told: dict[str, Any]) -> bool:
        """The engine's callback. True ends it."""
        if "error" in told:
            self._error = told["error"]
            return True
        self._usage = told.get("usage") or self._usage
        for choice in told.get("choices", ()):
            text = choice.get("text") or choice.get("delta", {}).get("content") or ""
            if choice.get("finish_reason"):
                self._finish = "length" if choice["finish_reason"] == "length" else "stop"
            self._left = self._left or not self._say(Piece(text))
        return self._left

    def end(self) -> None:
        """After the last word. Raises what went wrong."""
        if self._error is not None:
            raise _refusal(self._error)
        if self._left:
            return
        if not self._finish:
            raise ModelFailed("the engine ended a text without saying why")
        usage = self._usage
        self._say(Piece("", self._finish, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)))


def _refusal(told: dict[str, Any]) -> InvalidInput | ModelFailed:
    message = str(told.get("message", told))
    return InvalidInput(message) if told.get("code") == InvalidInput.status else ModelFailed(f"llama.cpp: {message}")


def _engine(bundle: Bundle, options: dict[str, int], device: str) -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra("llm", f"load {bundle.name!r}", missing=error.name) from error
    slots = options.get("slots", SLOTS)
    params = xllamacpp.CommonParams()
    params.n_parallel = slots
    params.n_ctx = slots * options.get("context", CONTEXT)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.get("threads", threads())
    _place(params, xllamacpp, device)
    params.cache_ram_mib = 0  # no prompt of one caller is kept once another's has taken its place
    params.ui = False
    params.warmup = False  # the first text does it
    params.n_threads_http = 1
    params.verbosity = QUIET
    with verified.pinned(bundle) as path, tempfile.TemporaryDirectory(prefix="llm-") as folder:
        params.model.path = str(path)
        params.hostnames = [os.path.relpath(Path(folder) / "engine.sock")]  # a whole path may be too long for a socket
        try:
            engine = xllamacpp.Server(params)
        except RuntimeError as error:
            raise CorruptModel(
                f"llama.cpp {xllamacpp.__version__} cannot load {bundle.manifest.model!r}: it is damaged, of an "
                "architecture that this version does not know, or larger than the memory there is"
            ) from error
    # Also, its loop must have turned before it can be ended: one that is told to end as it starts never hears it.
    engine.handle_completions({"prompt": " ", "max_tokens": 1})
    return engine


def _place(params: Any, xllamacpp: Any, device: str) -> None:
    """All layers on the CPU, on one graphics card, or on all there are. Raises EnvironmentFault where there is none."""
    params.n_gpu_layers = 0
    if device == CPU:
        return
    kind, number = kind_and_number(device)
    cards = [each for each in xllamacpp.get_device_info() if "GPU" in str(each["type"])]
    if kind != "cuda" or (number or 0) >= len(cards):
        told = ", ".join(str(each["name"]) for each in cards) or "no graphics card"
        raise EnvironmentFault(f"llama.cpp here cannot use device {device!r}: it was built for, or found, {told}")
    params.n_gpu_layers = -1
    if number is not None:
        params.main_gpu, params.split_mode = number, xllamacpp.llama_split_mode.LLAMA_SPLIT_MODE_NONE


def threads() -> int:
    """All processors that this process may use but one: its threads wait for each other at every step, so that one
    which has to share its processor, with a door say, would stop them all.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores - 1, 1)


def _whole(bundle: Bundle, name: str) -> int:
    value = bundle.manifest.options[name]
    if type(value) is not int or not 1 <= value <= LARGEST[name]:
        raise BundleError(f"{bundle.name}: options.{name} is {value!r}: expected 1 to {LARGEST[name]}")
    return value
