"""Target: a place where a model can go. One file each; `targets.py` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from servable.domain.bundle import Bundle
from servable.edge.devices import Ran
from servable.edge.edition import Edition, edition_of
from servable.edge.obstacles import Check
from servable.edge.variants import VARIANTS, Variant

Device = Callable[[Path, Sequence[Any]], Ran]
"""Asks the folder that was written, where it will run."""


class Target(msgspec.Struct, frozen=True):
    """`write` makes the folder of an edition with the options that were asked for, of those the target knows. `devices`
    prove it: the first is the one that times are measured on. `sizes` tells what whoever takes it downloads.
    `obstacles` are what stands in the way of this target alone. `notes` tell what a model goes without. `instead`: by
    the format of a bundle, the target that takes it in the place of this one. `variants` are what can be made smaller.
    """

    name: str
    write: Callable[[Edition, Path, frozenset[str]], None]
    devices: tuple[Device, ...]
    sizes: Callable[[Edition, Path], dict[str, int]]
    runtimes: Callable[[], dict[str, str]]
    obstacles: tuple[Check, ...]
    options: frozenset[str] = frozenset()
    notes: Callable[[Edition], tuple[str, ...]] = lambda _: ()
    instead: Mapping[str, Callable[[Bundle], Target]] = {}
    edition: Callable[[Bundle, str, Sequence[str]], Edition] = edition_of
    lite: bool = False
    variants: tuple[Variant, ...] = VARIANTS
