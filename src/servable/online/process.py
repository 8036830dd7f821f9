"""The process of a learner: a model process that learns beside its predictions. The supervisor starts it.

`python -m servable.online.process --control-fd N`. It is the only one that writes the learner's journal; where machines
share that, it does so while the lease is ours.
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
    from servable.engine.garbage import settle
    from servable.online.identity import claim, identity_of
    from servable.online.recipe import recipe_of
    from servable.online.teaching import Taught, Teaching
    from servable.runtimes.find import runtime

    bundle = loaded.bundle
    make, habits, libraries = recipe_of(bundle)
    folder = Path(load.journal)
    claim(folder, identity_of(bundle.manifest))
    loaded.model.close()  # it was warmed up and measured; what learns is two fresh ones of its make
    settle()
    states = not runtime(bundle.manifest.format).isolated
    if load.shared:
        from servable.online.fleet.last import Last
        from servable.online.fleet.member import Member

        # The keeper publishes the state of any learner, so it is always sent; doors take it where they answer.
        member = Member(
            make,
            lambda *shared: Teaching(make, bundle.signature, folder, libraries, habits, states=True, shared=shared),
            Last(folder / "last.state"),
            states=states,
        )
        return member, member
    teaching = Teaching(make, bundle.signature, folder, libraries, habits, states=states)
    return Taught(teaching), teaching


if __name__ == "__main__":
    end(main(more=learning))
