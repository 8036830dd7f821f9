"""Habits: when a learner's process does what is not learning itself; stated in a manifest. For `teaching.py`."""

from __future__ import annotations

import msgspec

from servable.online.guards.limits import Limits


class Habits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When what is done; under `learning` among the options of the manifest.

    `publish_s`, `publish_every`: a state goes to the doors after this long, or after as many examples. `snapshot_s`,
    `snapshot_every`: the same for disk. `most_behind`, `most_behind_s`: examples that may wait to be learned, and how
    long learning those may take; more are turned away. `keep_inputs_s`: how long the rows of predictions wait for their
    outcomes. `guards`: see `guards/limits.py`.
    """

    publish_s: float = 0.01
    publish_every: int = 1000
    snapshot_s: float = 1.0
    snapshot_every: int = 10_000
    most_behind: int = 100_000
    most_behind_s: float = 60.0
    keep_inputs_s: float = 7 * 86_400.0
    guards: Limits = Limits()
