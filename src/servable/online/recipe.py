"""Recipe: what a bundle says of its learner: how it is made, its habits, what its states depend on."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from servable.domain.bundle import Bundle
from servable.domain.model import Learner
from servable.errors import BundleError
from servable.online.habits import Habits
from servable.runtimes.find import runtime


class Recipe(NamedTuple):
    """`make` gives the learner as it was packed."""

    make: Callable[[], Learner]
    habits: Habits
    libraries: dict[str, str]


def recipe_of(bundle: Bundle) -> Recipe:
    """Raises BundleError for a bundle that does not learn, or whose options are wrong."""
    manifest = bundle.manifest
    try:
        habits = msgspec.convert(manifest.options.get("learning", {}), Habits)
    except msgspec.ValidationError as error:
        raise BundleError(f"{manifest.name!r}: options.learning: {error}") from error
    found = runtime(manifest.format)
    if not getattr(found, "learns", False):
        raise BundleError(f"{manifest.name!r} is of the format {manifest.format}, which does not learn")

    def make() -> Learner:
        learner = found.load(bundle)
        if not isinstance(learner, Learner):
            raise BundleError(f"{manifest.name!r} is of the format {manifest.format}, which does not learn")
        return learner

    return Recipe(make, habits, {**manifest.libraries, "numpy": np.__version__, "python": platform.python_version()})
