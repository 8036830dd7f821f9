"""Opened: a bundle beside its model, which runs."""

from __future__ import annotations

from typing import NamedTuple

from servable.domain.bundle import Bundle
from servable.domain.model import Model


class Opened(NamedTuple):
    """A bundle and its model. `layers` of the sandbox around the model; none where it is data, and open here."""

    bundle: Bundle
    model: Model
    layers: tuple[str, ...] = ()
