"""A model that tells words one by one, as fast as it is let: a Generator without a language model."""

from __future__ import annotations

import threading

from servable.domain.batch import Batch
from servable.domain.generation import Piece, Prompt, Say
from servable.errors import InvalidInput


class Teller:
    """Says `word 0 `, `word 1 `, …: one for each permit, or freely. `bad` is refused, `broken` raises."""

    concurrent = True

    def __init__(self, slots: int = 1, *, free: bool = True) -> None:
        self.slots = slots
        self.permits = threading.Semaphore(1 << 30 if free else 0)
        self.asked: list[str] = []
        self.ended: list[tuple[str, int]] = []
        """Each text that ended, and after how many words."""

    def generate(self, prompt: Prompt, say: Say) -> None:
        self.asked.append(prompt.text)
        if prompt.text == "bad":
            raise InvalidInput("a bad prompt")
        if prompt.text == "broken":
            raise RuntimeError("it broke")
        said = 0
        while said < prompt.max_tokens:
            self.permits.acquire()
            if not say(Piece(f"{prompt.text} {said} ")):
                break
            said += 1
        else:
            say(Piece("", "length", 1, said))
        self.ended.append((prompt.text, said))

    def predict(self, batch: Batch) -> Batch:
        return batch

    def close(self) -> None:
        self.permits.release(1 << 20)
