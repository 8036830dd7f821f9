"""The process of a learner: a model process that learns beside its predictions. The supervisor starts it.

`python -m servable.online.process --control-fd N`. It is the only one that writes the learner's journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from servable.engine.process.main import end, main
from servable.errors import BundleError

if TYPE_CHECKING:
    from servable.domain.model import Model
    from servable.engine.loading import Loaded
    from servable.engine.process.messages import Load
    from servable.engine.process.serve import Beside


def learning(loaded: Loaded, load: Load) -> tuple[Model, Beside]:
    """The model that answers, and what teaches it. Raises what taking up its journal raises."""
    import platform

    import msgspec
    import numpy as np

    from servable.domain.model import Learner
    from servable.online.teaching import Habits, Taught, Teaching
    from servable.runtimes.find import runtime

    manifest = loaded.bundle.manifest
    try:
        habits = msgspec.convert(manifest.options.get("learning", {}), Habits)
    except msgspec.ValidationError as error:
        raise BundleError(f"{manifest.name!r}: options.learning: {error}") from error
    libraries = {**manifest.libraries, "numpy": np.__version__, "python": platform.python_version()}
    found = runtime(manifest.format)

    def make() -> Learner:
        learner = found.load(loaded.bundle)
        if not isinstance(learner, Learner):
            raise BundleError(f"{manifest.name!r} is of the format {manifest.format}, which does not learn")
        return learner

    loaded.model.close()  # it was warmed up and measured; what learns is two fresh ones of its make
    folder = Path(load.journal)
    teaching = Teaching(make, loaded.bundle.signature, folder, libraries, habits, states=not found.isolated)
    return Taught(teaching), teaching


if __name__ == "__main__":
    end(main(more=learning))
