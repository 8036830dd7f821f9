"""Limits: what the guards allow; under `learning.guards` among the options of the manifest."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`reach`: deviations from its mean beyond which a number is taken as that far.

    `check_every`: examples between two looks at the probe rows, which the next two concern; a large state is looked at
    less often. `most_shift`: how far the answers to them may move on average between two looks (1 is from one end to
    the other), beyond what is usual of this learner. `most_step`: how many times the usual step of the weights
    one look may see.

    `most_bytes`: how large the state may become; what would make it larger is undone.

    `champion_every`: examples after which the good state before is the champion. `return_after`: examples over which a
    learner that was set aside must be better. `fallback`: whether the champion answers for a learner that is worse; if
    not the evidence is told, and nothing done. `most_per_s`, `most_share`: of one source, examples a second, and its
    share of the last examples of all; 0 and 1: any.
    """

    reach: float = 10.0
    check_every: int = 100
    probe_rows: int = 200
    most_shift: float = 0.35
    most_step: float = 100.0
    most_bytes: int = 256 * 1024 * 1024
    champion_every: int = 500
    return_after: int = 1000
    fallback: bool = True
    most_per_s: float = 0.0
    most_share: float = 1.0
