"""Models that make text: language models, token by token (OpenAI's routes serve them, too), and those that turn one
text into another: summaries, translations.

One text at a time, on one thread: a folder is for trying out; a GGUF file of the same model is made for many.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.generation import Finish, Piece, Prompt, Say
from servable.errors import InvalidInput, ModelFailed, ServableError
from servable.runtimes.completion import INPUTS, OUTPUTS, TOKENS, completed
from servable.runtimes.huggingface.folder import Folder
from servable.runtimes.huggingface.task import Ask, Loaded, Task, texts

LONGEST: Final = 2048
"""Tokens of prompt and answer together, where the folder states no limit."""
TOGETHER: Final = 8
CUT: Final = "\ufffd"
"""What the bytes of half a character are decoded as."""


class LanguageModel:
    """Continues prompts, and answers conversations by the tokenizer's own chat template."""

    concurrent = False
    slots = 1

    def __init__(self, loaded: Loaded, folder: Folder) -> None:
        self._loaded: Loaded | None = loaded
        self._longest = folder.longest or LONGEST
        self._max_tokens = int(loaded.options.get("max_tokens", TOKENS))
        self._lock = Lock()

    def predict(self, batch: Batch) -> Batch:
        return completed(self.generate, batch, self._max_tokens)

    def generate(self, prompt: Prompt, say: Say) -> None:
        if self._loaded is None:
            raise ModelFailed("the model is closed")
        if prompt.frequency_penalty or prompt.presence_penalty:
            raise InvalidInput("frequency_penalty and presence_penalty are not served by transformers: leave them out")
        try:
            with self._lock:  # drawing is seeded for the whole process
                self._made(self._loaded, prompt, say)
        except ServableError:
            raise
        except Exception as error:
            raise ModelFailed(f"transformers: {' '.join(str(error).split())[:400]}") from error

    def _made(self, loaded: Loaded, prompt: Prompt, say: Say) -> None:
        given = _read(loaded, prompt)
        read = given["input_ids"].shape[1]
        left = self._longest - read
        if left < 1:
            raise InvalidInput(f"the prompt has {read} tokens, and the model reads and writes {self._longest} in all")
        most = min(prompt.max_tokens or left, left)
        drawn: dict[str, Any] = {"do_sample": False}
        if prompt.temperature > 0:
            drawn = {"do_sample": True, "temperature": prompt.temperature, "top_p": prompt.top_p, "top_k": 0}
        if prompt.seed is not None:
            loaded.torch.manual_seed(prompt.seed)
        answer = _Answer(loaded.prepare, prompt.stop, say)
        pad = loaded.prepare.pad_token_id
        with loaded.torch.inference_mode():
            loaded.model.generate(
                **given, **drawn, max_new_tokens=most, streamer=answer, use_cache=True,
                stopping_criteria=[lambda *_: loaded.torch.tensor([answer.ended])],
                pad_token_id=pad if pad is not None else 0,
            )  # fmt: skip
        answer.last(read, "length" if answer.count >= most and not answer.stopped else "stop", _ends(loaded))

    def close(self) -> None:
        self._loaded = None


class _Answer:
    """What `generate` streams to, turned into pieces: whole characters, and nothing that may begin a stop string."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...], say: Say) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._say = say
        self._tokens: list[int] = []
        self._told = 0
        self._left = False
        self._read = False
        self.stopped = False

    @property
    def ended(self) -> bool:
        return self._left or self.stopped

    @property
    def count(self) -> int:
        return len(self._tokens)

    def put(self, tokens: Any) -> None:
        """The prompt, at first; then each token."""
        if not self._read:
            self._read = True
            return
        self._tokens.extend(tokens.reshape(-1).tolist())
        text = self._text()
        if not text.endswith(CUT):
            self._tell(text, len(text) - max((_begun(text, stop) for stop in self._stop), default=0))

    def end(self) -> None:
        """The library's word for: no more."""

    def last(self, read: int, finish: Finish, ends: frozenset[int]) -> None:
        """What was held back, and the counts."""
        if self._left:
            return
        if not self.stopped:
            text = self._text()
            self._tell(text, len(text))
            if self._tokens and self._tokens[-1] in ends:
                finish = "stop"
        self._say(Piece("", "stop" if self.stopped else finish, read, len(self._tokens)))

    def _text(self) -> str:
        return str(
            self._tokenizer.decode(
                self._tokens,
                skip_special_tokens=True,
                clean_up_tokenization_spaces=False,  # it would change what was told
            )
        )

    def _tell(self, text: str, until: int) -> None:
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped, until = True, min(found)
        if until > self._told or not self._left:
            piece = text[self._told : until]
            self._told = max(self._told, until)
            self._left = self._left or not self._say(Piece(piece))


def _begun(text: str, stop: str) -> int:
    """How many of the last characters may be the beginning of `stop`."""
    return next((size for size in range(min(len(stop), len(text)), 0, -1) if text.endswith(stop[:size])), 0)


def _read(loaded: Loaded, prompt: Prompt) -> Any:
    if not prompt.messages:
        given = loaded.prepare(prompt.text or " ", return_tensors="pt")
    elif not loaded.prepare.chat_template:
        raise InvalidInput("the model has no chat template: ask for a completion of a prompt instead")
    else:
        turns = [{"role": message.role, "content": message.content} for message in prompt.messages]
        given = loaded.prepare.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    return {name: given[name] for name in ("input_ids", "attention_mask")}


def _ends(loaded: Loaded) -> frozenset[int]:
    """The tokens that end a text."""
    told = loaded.model.generation_config.eos_token_id
    return frozenset(told if isinstance(told, list) else () if told is None else (told,))


def _rewrites(loaded: Loaded, folder: Folder) -> Ask:
    """Option `max_tokens`: of an answer; else what the folder's own generation configuration says."""
    most = {"max_new_tokens": int(loaded.options["max_tokens"])} if "max_tokens" in loaded.options else {}
    cut = {"max_length": folder.longest} if folder.longest else {}

    def some(rows: list[str]) -> list[str]:
        given = loaded.prepare(rows, padding=True, truncation=bool(cut), return_tensors="pt", **cut)
        with loaded.torch.inference_mode():
            made = loaded.model.generate(
                input_ids=given["input_ids"], attention_mask=given["attention_mask"], do_sample=False, **most
            )
        return list(loaded.prepare.batch_decode(made, skip_special_tokens=True))

    def ask(batch: Batch) -> dict[str, Array]:
        rows = texts(batch, "text")
        made = [text for at in range(0, len(rows), TOGETHER) for text in some(rows[at : at + TOGETHER])]
        return {"generated_text": np.array(made, object)}

    return ask


TASKS: Final = {
    "text-generation": Task("AutoModelForCausalLM", INPUTS, lambda _: OUTPUTS, LanguageModel),
    "text2text-generation": Task(
        "AutoModelForSeq2SeqLM", (Field("text", "BYTES"),), lambda _: (Field("generated_text", "BYTES"),), _rewrites
    ),
}
