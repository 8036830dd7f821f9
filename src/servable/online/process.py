"""The process of a learner: a model process that learns beside its predictions. The supervisor starts it.

`python -m servable.online.process --control-fd N`. It is the only one that writes the learner's journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from servable.engine.process.main import end, main

if TYPE_CHECKING:
    from servable.domain.model import Model
    from servable.engine.loading import Loaded
    from servable.engine.process.messages import Load
    from servable.engine.process.serve import Beside


def learning(loaded: Loaded, load: Load) -> tuple[Model, Beside]:
    """The model that answers, and what teaches it. Raises what taking up its journal raises."""
    from servable.online.recipe import recipe_of
    from servable.online.teaching import Taught, Teaching
    from servable.runtimes.find import runtime

    bundle = loaded.bundle
    make, habits, libraries = recipe_of(bundle)
    loaded.model.close()  # it was warmed up and measured; what learns is two fresh ones of its make
    states = not runtime(bundle.manifest.format).isolated
    teaching = Teaching(make, bundle.signature, Path(load.journal), libraries, habits, states=states)
    return Taught(teaching), teaching


if __name__ == "__main__":
    end(main(more=learning))
