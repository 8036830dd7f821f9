"""Memory: how much of what is sparse a linear learner may hold, as options of its description."""

from __future__ import annotations

from typing import Any

import msgspec

from servable.errors import UsageError
from servable.online.learners.features import Features
from servable.online.learners.table import Table


class Memory(msgspec.Struct, frozen=True):
    """`hash_bits`: texts are told apart as far as `2 ** hash_bits` values are. `most_features`: those that have weights
    at one time. `sightings`: how often one is met until it has. `expire_after`: examples after which one that is not
    met any more has none; 0: it keeps them while there is room.
    """

    hash_bits: int = 24
    most_features: int = 1 << 16
    sightings: int = 2
    expire_after: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.hash_bits <= 32 or self.most_features < 1 or self.sightings < 1 or self.expire_after < 0:
            raise UsageError(
                "options: expected hash_bits from 1 to 32, most_features and sightings of 1 or more, and expire_after "
                f"not below 0, got {msgspec.to_builtins(self)}"
            )

    def table(self, features: Features) -> Table:
        """An empty one for these features."""
        return Table(features.dense, self._room(features), self.sightings, self.expire_after)

    def size(self, features: Features) -> int:
        """Of the weights of a learner: the numbers, and the room for what is sparse."""
        return features.dense + self._room(features)

    def _room(self, features: Features) -> int:
        return min(self.most_features, features.size - features.dense)

    def facts(self) -> dict[str, Any]:
        """What a state depends on."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def memory_of(options: dict[str, Any]) -> tuple[Memory, dict[str, Any]]:
    """The memory that some of the options describe, and the others. Raises UsageError.

    >>> memory_of({"alpha": 0.1, "sightings": 3})[1]
    {'alpha': 0.1}
    """
    names = set(Memory.__struct_fields__)
    own = {name: value for name, value in options.items() if name in names}
    return Memory(**own), {name: value for name, value in options.items() if name not in names}
