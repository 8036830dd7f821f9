"""Table: which sparse features have a place in a learner, so that its memory is bounded whatever comes.

A feature is admitted when it is met the second time (most are met once and never again: McMahan et al., KDD 2013, give
two thirds of the memory back for a hundredth of a per cent of the loss), and leaves when it was not met for long, or
when the table is full and it is the one that was not met for longest. All of it counts examples, not time: a replay
admits the same.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np

from servable.domain.batch import Array

PATIENCE: Final = 4
"""Times the capacity: features that may wait for their admission."""


class Table:
    """`capacity` places from `first` on."""

    def __init__(self, first: int, capacity: int, sightings: int = 2, expire_after: int = 0) -> None:
        """`sightings`: when a feature is admitted. `expire_after`: examples after which one that is not met leaves; 0:
        never.
        """
        self._first = first
        self._capacity = capacity
        self._sightings = sightings
        self._expire_after = expire_after
        self._held: OrderedDict[int, tuple[int, int]] = OrderedDict()
        """Feature to its place and when it was met last, the longest ago first."""
        self._waiting: OrderedDict[int, int] = OrderedDict()
        self._free: list[int] = []
        self._used = 0
        self._examples = 0

    def __len__(self) -> int:
        return len(self._held)

    def find(self, features: Array) -> Array:
        """The places of those that were admitted."""
        held = self._held
        return np.array([held[feature][0] for feature in features.tolist() if feature in held], np.intp)

    def meet(self, features: Array) -> tuple[Array, Array]:
        """The places of one example's features, as far as they are admitted by now; and places that were given back,
        whose weights must be forgotten before these are used.

        >>> table = Table(first=10, capacity=2)
        >>> [table.meet(np.array(seen))[0].tolist() for seen in ([7], [7, 8], [8], [7, 8])]
        [[], [10], [11], [10, 11]]
        >>> [places.tolist() for places in (table.meet(np.array([9])), table.meet(np.array([9])))[1]]
        [[10], [10]]
        """
        self._examples += 1
        freed: list[int] = []
        places = []
        for feature in features.tolist():
            held = self._held.pop(feature, None)
            place = held[0] if held is not None else self._admit(feature, freed)
            if place is not None:
                self._held[feature] = place, self._examples
                places.append(place)
        if self._expire_after:
            freed += self._expire()
        return np.array(list(dict.fromkeys(places)), np.intp), np.array(freed, np.intp)

    def _admit(self, feature: int, freed: list[int]) -> int | None:
        """A place for it, if it has been met often enough."""
        met = self._waiting.pop(feature, 0) + 1
        if met < self._sightings:
            self._waiting[feature] = met
            if len(self._waiting) > PATIENCE * self._capacity:
                self._waiting.popitem(last=False)
            return None
        if self._free:
            return self._free.pop()
        if self._used < self._capacity:
            self._used += 1
            return self._first + self._used - 1
        if not self._held:  # one example fills all places by itself
            return None
        _, (place, _) = self._held.popitem(last=False)
        freed.append(place)
        return place

    def _expire(self) -> list[int]:
        freed = []
        while self._held:
            feature, (place, met) = next(iter(self._held.items()))
            if met + self._expire_after >= self._examples:
                break
            del self._held[feature]
            freed.append(place)
        self._free += freed
        return freed

    @property
    def end(self) -> int:
        """After the last place that has ever been used."""
        return self._first + self._used

    def state(self) -> dict[str, Array]:
        """All that `take` needs."""
        held = [(feature, place, met) for feature, (place, met) in self._held.items()]
        return {
            "table_held": np.array(held, np.int64).reshape(-1, 3),
            "table_waiting": np.array(list(self._waiting.items()), np.int64).reshape(-1, 2),
            "table_free": np.array(self._free, np.int64),
            "table_counts": np.array([self._used, self._examples], np.int64),
        }

    def take(self, state: dict[str, Array]) -> None:
        """Be what `state` told."""
        self._held = OrderedDict((feature, (place, met)) for feature, place, met in state["table_held"].tolist())
        self._waiting = OrderedDict(state["table_waiting"].tolist())
        self._free = state["table_free"].tolist()
        self._used, self._examples = state["table_counts"].tolist()
