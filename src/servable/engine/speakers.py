"""Speakers: where a loaded model makes texts, if it does: in its process or processes, or on threads of this one."""

from __future__ import annotations

from servable.domain.generation import Generator
from servable.domain.model import Model
from servable.engine.generations import Generations, Speaker
from servable.engine.making import Threads
from servable.engine.process.remote import RemoteModel
from servable.engine.process.speaker import RemoteSpeaker
from servable.engine.said import OnSaid
from servable.engine.stats import Stats


def generations_of(model: Model, stats: Stats, most: int, on_said: OnSaid | None = None) -> Generations | None:
    """The way to this model's texts, with at most so many under way or waiting; None if it makes none."""
    speaker: Speaker
    if isinstance(model, RemoteModel):
        if not model.generates:
            return None
        speaker = RemoteSpeaker(model.addresses, model.max_answer_bytes)
    elif isinstance(model, Generator):
        speaker = Threads(model)
    else:
        return None
    return Generations(speaker, stats, most, on_said)
