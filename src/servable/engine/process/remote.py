"""A model that lives in a process of its own, or in several, as the door holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from servable.domain.batch import Batch
from servable.domain.record import Records
from servable.engine.process.client import RemoteExecutor, Terms
from servable.errors import Unsupported


class Teacher(Protocol):
    """A door's way to have a model learn."""

    def keep(self, records: Records) -> None:
        """Rows that were predicted, whose outcomes may come."""
        ...

    async def end(self) -> None:
        """The server is being stopped: keep what would be lost."""
        ...

    def close(self) -> None: ...


class RemoteModel:
    """A model in a process of its own, or in several, as the door holds it. Lanes ask it through its executors."""

    concurrent = False

    def __init__(
        self,
        name: str,
        addresses: Sequence[str],
        kill: Callable[[int], None],
        *,
        stuck_after_s: float,
        max_answer_bytes: int,
        layers: tuple[str, ...] = (),
        generates: bool = False,
    ) -> None:
        """Where its processes listen, the layers of their sandboxes, and whether they make texts.

        `kill(pid)` has one ended that hangs; another follows at its address.
        """
        self.name = name
        self.addresses = addresses
        self.layers = layers
        self.generates = generates
        self.max_answer_bytes = max_answer_bytes
        self._terms = Terms(name, kill, stuck_after_s, max_answer_bytes)
        self._executors: list[RemoteExecutor] = []
        self.teacher: Teacher | None = None
        """The door's way to have it learn, of one that does."""

    def predict(self, batch: Batch) -> Batch:
        raise Unsupported(f"{self.name} lives in a process of its own ({batch.rows} rows): ask its lane")

    @property
    def keep(self) -> Callable[[Records], None] | None:
        """Takes the records of what was predicted, where it learns from them."""
        return None if self.teacher is None else self.teacher.keep

    def close(self) -> None:
        """The executor has hung up; so does who teaches."""
        if self.teacher is not None:
            self.teacher.close()

    def executors(self) -> list[RemoteExecutor]:
        """One to each process, for as many lanes, on their event loop."""
        self._executors = [RemoteExecutor(self._terms, address) for address in self.addresses]
        return self._executors

    def note(self, address: str, reason: str, retry_after_s: float) -> None:
        """The supervisor says that the process at this address, if it is one of ours, does not come back soon."""
        for executor in self._executors:
            if executor.address == address:
                executor.note(reason, retry_after_s)
