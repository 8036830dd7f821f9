"""Acts of a release: canary, bandit, shadow, fallback, promote, roll back. Each is written into the registry.

A release is a note of a name in the registry: the Route, on which Terms, since when, and why. What a Route becomes by
an act is said by `domain/route.py` and here; nothing is loaded and nobody is asked. The parent of a server undoes acts
here, so what compares contracts is imported by the acts that do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.domain.terms import Terms
from servable.errors import CheckFailed, Conflict, UsageError
from servable.registry.catalog import Model, Version
from servable.registry.policy import CHAMPION, held_back, released
from servable.registry.registry import Registry
from servable.registry.release import NOTE, Release

_END = "end that first  (servable release rollback {})"


class Acts:
    """What may be done with the names of one registry. All raise NotFound for a name or version that is not there."""

    def __init__(self, registry: Registry, now: Callable[[], float] = time.time) -> None:
        self.registry = registry
        self._now = now

    def release(self, name: str) -> Release:
        """How it stands."""
        return released(self.registry.catalog().model(name))

    def canary(self, ref: Ref, share: float, terms: Terms | None = None, override_reason: str = "") -> Release:
        """Give a share of the requests to a version, on these Terms. Of the canary that stands: another share; whoever
        met it goes on meeting it while the share grows. Raises CheckFailed for one that the gate holds back.
        """
        if not 0 < share < 1:
            raise UsageError(f"a canary's share: expected more than 0 and less than all of the requests, got {share:g}")
        model, version = self._found(ref, override_reason)
        release = released(model)
        route = release.route
        if version == route.live:
            raise UsageError(f"{model.name}:{version} is the live version: a canary is another one")
        if route.bandit is not None:
            raise Conflict(f"{route.bandit} chooses among versions of {model.name}: {_END.format(model.name)}")
        self._keep_contract(model.name, route.live, version, override_reason)
        again = route.canary == version
        salt = route.salt if again else f"{model.name}:{version}@{self._now():.3f}"
        terms = release.terms if again and terms is None else terms
        changed = msgspec.structs.replace(
            route, canary=version, canary_share=share, salt=salt, shadows=_without(route.shadows, version),
            outcomes=bool(terms and terms.success),
        )  # fmt: skip
        told = f"canary with {share:.2%} of the requests"
        return self._note(model, changed, f"{told}; {override_reason}" if override_reason else told, terms)

    def bandit(self, name: str, by: Ref, override_reason: str = "") -> Release:
        """Let a bandit, a model of its own whose actions are versions of this name, choose for each row which of them
        answers. Raises UsageError for what is no such bandit, CheckFailed for a version that the gate holds back or
        that cannot answer for the live one, Conflict while there is a canary.
        """
        model = self.registry.catalog().model(name)
        release = released(model)
        route = release.route
        if route.canary is not None:
            raise Conflict(f"{name}:{route.canary} is a canary, whose requests are drawn: {_END.format(name)}")
        arms = self._arms(Ref(name, route.live), by)
        for arm in arms:
            self._found(Ref(name, arm), override_reason)
            if arm != route.live:
                self._keep_contract(name, route.live, arm, override_reason)
        changed = msgspec.structs.replace(
            route, bandit=str(by), arms=arms, shadows=tuple(one for one in route.shadows if one not in arms)
        )
        told = f"{by} chooses among {', '.join(arms)}"
        return self._note(model, changed, f"{told}; {override_reason}" if override_reason else told, release.terms)

    def shadow(self, ref: Ref, *, remove: bool = False) -> Release:
        """Let a version have copies of all requests, or no more of them. It answers nobody: the gate is not asked."""
        version = self.registry.catalog().find(ref).version
        model = self.registry.catalog().model(ref.name)
        release = released(model)
        route = release.route
        if version in {route.live, *route.tried}:
            raise UsageError(f"{ref.name}:{version} answers requests itself: a shadow is another version")
        shadows = _without(route.shadows, version)
        if remove and version not in route.shadows:
            raise Conflict(f"{ref.name}:{version} is no shadow (there are: {', '.join(route.shadows) or 'none'})")
        changed = msgspec.structs.replace(route, shadows=shadows if remove else (*shadows, version))
        return self._note(model, changed, f"shadow {version} {'ends' if remove else 'begins'}", release.terms)

    def fallback(self, name: str, to: str | None = None, value: Mapping[str, Any] | None = None) -> Release:
        """What answers when the version that was chosen cannot: a Ref, then a value for each output; or nothing.

        Raises CheckFailed for a model that cannot stand in, InvalidInput for values that do not fit the outputs.
        """
        from servable.domain.contract import stands_in
        from servable.engine.routing.spares import one_row

        model = self.registry.catalog().model(name)
        release = released(model)
        asked = self.registry.open(Ref(name, release.route.live))[1].signature
        if to is not None and not stands_in(self.registry.open(Ref.parse(to))[1].signature, asked):
            raise CheckFailed(
                f"{to} cannot stand in for {name}: it must take its inputs, or fewer, and answer with its outputs"
            )
        if value:
            one_row(value, asked)
        changed = msgspec.structs.replace(release.route, fallback=to, fallback_value=dict(value or {}))
        what = " and ".join([part for part in (to, "a value" if value else None) if part]) or "nothing"
        return self._note(model, changed, f"fallback to {what}", release.terms)

    def promote(self, ref: Ref, override_reason: str | None = None) -> Release:
        """Make a version the live one, and the champion; of a bare name its canary. Raises CheckFailed for one that the
        gate holds back, unless a reason to override it is given.
        """
        model = self.registry.catalog().model(ref.name)
        route = released(model).route
        if ref.version is None and ref.alias is None:
            if route.canary is None:
                raise UsageError(f"{ref.name!r} has no canary: say which version to promote, such as {ref.name}:2")
            ref = Ref(ref.name, route.canary)
        version = self.registry.promote(ref, override_reason=override_reason).version
        return self._note(model, route.promoted(version), f"promoted over {route.live}: {override_reason or 'by hand'}")

    def rollback(self, name: str, reason: str = "by hand") -> Release:
        """End a canary, or a bandit's choice; where there is none, make the champion before this one live again. Raises
        Conflict where there was none.
        """
        model = self.registry.catalog().model(name)
        route = released(model).route
        if route.canary is not None:
            return self._note(model, route.ended(), f"canary {route.canary} rolled back: {reason}")
        if route.bandit is not None:
            return self._note(model, route.ended(), f"{route.bandit} chooses no more: {reason}")
        before = self._before(model, route.live)
        if before is None:
            raise Conflict(f"{name!r} has neither a canary nor a champion before {name}:{route.live}: nothing to undo")
        self.registry.promote(Ref(name, before), override_reason=f"rolled back from {route.live}: {reason}")
        return self._note(model, route.promoted(before), f"rolled back from {route.live}: {reason}")

    def restore(self, name: str, route: Route, reason: str) -> Release:
        """Let the Route be this one again: another could not be taken up."""
        model = self.registry.catalog().model(name)
        if model.aliases.get(CHAMPION, route.live) != route.live:
            self.registry.promote(Ref(name, route.live), override_reason=reason)
        return self._note(model, route, reason, released(model).terms)

    def _found(self, ref: Ref, override_reason: str) -> tuple[Model, str]:
        catalog = self.registry.catalog()
        version: Version = catalog.find(ref)
        model = catalog.model(ref.name)
        reason = held_back(version, model)
        if reason and not override_reason.strip():
            raise CheckFailed(
                f"{ref.name}:{version.version} may answer nobody: {reason}; or give a reason to override it"
            )
        return model, version.version

    def _arms(self, live: Ref, by: Ref) -> tuple[str, ...]:
        """The versions among which a bandit chooses. Raises UsageError where it cannot."""
        from servable.domain.choosing import actions_of, lacking
        from servable.runtimes.find import runtime

        chooser, asked = self.registry.open(by)[1].signature, self.registry.open(live)[1].signature
        arms = actions_of(chooser)
        if len(arms) < 2 or not all(arm.isdigit() for arm in arms):
            raise UsageError(
                f'{by}: expected a bandit whose actions are versions of {live.name}, such as "actions": ["1", "2"], '
                f"got {list(arms) or 'a model that chooses nothing'}"
            )
        faults = lacking(chooser, asked)
        if faults:
            raise UsageError(f"{by} cannot choose for {live}: {'; '.join(faults)}", faults=faults)
        for arm in arms:
            stated = self.registry.open(Ref(live.name, arm))[1].manifest
            if getattr(runtime(stated.format), "learns", False) and not stated.options.get("frozen"):
                raise UsageError(
                    f"{live.name}:{arm} learns itself, and what it is told would be the bandit's reward: freeze it "
                    f"first  (servable learning rebuild {live.name}:{arm} --frozen)"
                )
        return arms

    def _keep_contract(self, name: str, live: str, version: str, override_reason: str) -> None:
        """Raise CheckFailed where callers of the live version would be refused by the other."""
        from servable.domain.contract import breaks

        old, new = (self.registry.open(Ref(name, number))[1].signature for number in (live, version))
        broken = breaks(old, new)
        if broken and not override_reason.strip():
            raise CheckFailed(
                f"{name}:{version} does not keep the contract of {name}:{live}, whose callers it would meet: "
                f"{'; '.join(broken)}. Give it a name of its own, or a reason to override it",
                faults=broken,
            )

    def _before(self, model: Model, live: str) -> str | None:
        """The champion before this one that is still there."""
        champions = [
            str(event.version)
            for event in self.registry.history(model.name)
            if event.kind == "aliased" and event.alias == CHAMPION
        ]
        there = {version.version for version in model.living}
        return next((version for version in reversed(champions) if version != live and version in there), None)

    def _note(self, model: Model, route: Route, reason: str, terms: Terms | None = None) -> Release:
        release = Release(route, terms or Terms(), self._now(), reason)
        self.registry.note(model.name, NOTE, msgspec.to_builtins(release))
        return release


def _without(shadows: tuple[str, ...], version: str) -> tuple[str, ...]:
    return tuple(shadow for shadow in shadows if shadow != version)
