"""What the supervisor decides: when a dead door is replaced, when a silent one is given up, which plan is wanted.

Pure functions, no clock, socket or process: `supervisor.py` calls them, their tests are tables of cases.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from servable.domain.ref import Ref
from servable.engine.plan import Plan, State

FIRST_BEAT_S: Final = 60.0
"""What a new door may take to import its libraries and say its first word, on a slow and busy machine."""

SEVERITY: Final = {"UNAVAILABLE": 3, "LOADING": 2, "UNLOADING": 1, "READY": 0}


class Restarts(msgspec.Struct, frozen=True):
    """How fast dead doors are replaced: at once, then after `first_s`, doubled up to `longest_s`.

    A door that lived for `stable_s` starts the series anew.
    """

    first_s: float = 0.1
    longest_s: float = 10.0
    stable_s: float = 60.0

    def crashes(self, before: int, lived_s: float) -> int:
        """Quick deaths in a row, this one included, after `before` of them.

        >>> Restarts().crashes(3, lived_s=2.0), Restarts().crashes(3, lived_s=61.0)
        (4, 1)
        """
        return 1 if lived_s >= self.stable_s else before + 1

    def pause_s(self, crashes: int) -> float:
        """Seconds to wait before the next start.

        >>> [Restarts().pause_s(n) for n in (1, 2, 3, 4, 9, 5000)]
        [0.0, 0.1, 0.2, 0.4, 10.0, 10.0]
        """
        return 0.0 if crashes <= 1 else float(min(self.first_s * 2 ** min(crashes - 2, 64), self.longest_s))


def beat_pause_s(heartbeat_timeout_s: float) -> float:
    """How often a door beats: one lost or late Beat is no reason to kill it.

    >>> beat_pause_s(10.0), beat_pause_s(0.5)
    (1.0, 0.1)
    """
    return min(1.0, heartbeat_timeout_s / 5)


def silence_s(before: float, elapsed_s: float, pause_s: float) -> float:
    """A door's silence, after `elapsed_s` more of it: only time in which the supervisor itself was awake counts.

    A machine that slept, or a paused container, makes every door silent, and none of them guilty.

    >>> silence_s(1.0, 1.0, pause_s=1.0), silence_s(1.0, 3600.0, pause_s=1.0)
    (2.0, 3.0)
    """
    return before + min(elapsed_s, 2 * pause_s)


def guilty(silent_s: float, stuck: str, heartbeat_timeout_s: float, *, beaten: bool) -> str:
    """Why a door must be killed, or an empty string. `beaten`: it has sent a Beat before."""
    if stuck:
        return stuck
    limit_s = heartbeat_timeout_s if beaten else max(FIRST_BEAT_S, heartbeat_timeout_s)
    return f"no sign of life for {silent_s:.1f} s" if silent_s > limit_s else ""


def process_guilty(
    silent_s: float, heartbeat_timeout_s: float, stuck_after_s: float, *, working: bool, up: bool
) -> str:
    """Why a silent model process must be killed, or an empty string.

    One that computes (`working`) may only hold the interpreter to itself: its calls have their own limits, and it more
    time. So has one that loads.

    >>> [process_guilty(11.0, 10.0, 60.0, working=working, up=True) for working in (False, True)]
    ['no sign of life for 11.0 s', '']
    """
    limit_s = heartbeat_timeout_s
    if working or not up:
        limit_s = max(stuck_after_s, limit_s if up else FIRST_BEAT_S)
    return f"no sign of life for {silent_s:.1f} s" if silent_s > limit_s else ""


def overfull(memory_bytes: int, baseline_bytes: int, limit_bytes: int) -> bool:
    """Whether a model process should be replaced. Not if it was nearly as large when it came up: the next would be too.

    >>> overfull(900, 400, limit_bytes=800), overfull(900, 790, limit_bytes=800), overfull(900, 400, limit_bytes=0)
    (True, False, False)
    """
    return 0 < limit_bytes < memory_bytes and baseline_bytes < 0.9 * limit_bytes


def stamp(plan: Plan, generation: int) -> Plan:
    """The plan with every target of this generation: all that is loaded is older, and will be loaded anew."""
    targets = tuple(msgspec.structs.replace(target, generation=generation) for target in plan.targets)
    return msgspec.structs.replace(plan, targets=targets)


def keep(plan: Plan, standing: Plan) -> Plan:
    """The plan, where targets that stand already, from the same source and with the same digest, keep their generation:
    they are not loaded anew.

    >>> from servable.engine.plan import Target
    >>> new = Plan((Target("m", "1", "/a", "d", 9), Target("m", "2", "/b", "e", 9)))
    >>> [target.generation for target in keep(new, Plan((Target("m", "1", "/a", "d", 3),))).targets]
    [3, 9]
    """
    known = {msgspec.structs.replace(target, generation=0): target for target in standing.targets}
    targets = (known.get(msgspec.structs.replace(target, generation=0), target) for target in plan.targets)
    return msgspec.structs.replace(plan, targets=tuple(targets))


def concerned(plan: Plan, chosen: AbstractSet[str]) -> set[str]:
    """The chosen names, and those of the models that their Routes need beside them."""
    routes = [plan.routes[name] for name in chosen if name in plan.routes]
    return {*chosen, *(Ref.parse(ref).name for route in routes for ref in route.others)}


def names(plan: Plan) -> set[str]:
    """All names that the plan speaks of."""
    return {target.name for target in plan.targets} | set(plan.routes) | set(plan.aliases)


def graft(plan: Plan, source: Plan, chosen: AbstractSet[str]) -> Plan:
    """The plan, with all that concerns the `chosen` names as it is in `source`, be it nothing."""
    targets = [target for target in plan.targets if target.name not in chosen]
    targets += [target for target in source.targets if target.name in chosen]
    return Plan(
        tuple(sorted(targets, key=lambda target: (target.name, target.version))),
        {name: route for name, route in plan.routes.items() if name not in chosen}
        | {name: route for name, route in source.routes.items() if name in chosen},
        {name: aliases for name, aliases in plan.aliases.items() if name not in chosen}
        | {name: aliases for name, aliases in source.aliases.items() if name in chosen},
    )


def changed(old: Plan, new: Plan) -> set[str]:
    """Names whose targets, Route or aliases differ between two plans."""
    return {
        name
        for name in names(old) | names(new)
        if graft(Plan(), old, {name}) != graft(Plan(), new, {name})
    }  # fmt: skip


def merge(states: Iterable[Iterable[State]]) -> list[State]:
    """The states of several doors as one list: for each version the worst there is.

    >>> merge([[State("m", "1", "READY")], [State("m", "1", "LOADING")]])
    [State(name='m', version='1', state='LOADING', reason='', code='')]
    """
    worst: dict[tuple[str, str], State] = {}
    for state in (state for door in states for state in door):
        known = worst.get((state.name, state.version))
        if known is None or SEVERITY.get(state.state, 0) > SEVERITY.get(known.state, 0):
            worst[state.name, state.version] = state
    return [worst[key] for key in sorted(worst)]
