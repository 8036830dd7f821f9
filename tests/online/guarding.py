"""What a learner's process makes of a spec and a journal: the fold with its guards."""

from __future__ import annotations

from collections.abc import Callable

from servable.domain.model import Learner
from servable.online.fold import Fold
from servable.online.guards.guarded import Guarded
from servable.online.guards.limits import Limits


def guarded_fold(make: Callable[[], Learner], limits: Limits | None = None) -> Fold:
    """A fold as the process has it, without its quarantine."""
    return Fold(Guarded(make(), make(), limits))
