"""How a release stands, as plain values: for the command, the routes, and whoever reads JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from servable.registry.release import Release
from servable.release.acts import Acts
from servable.release.watch import FOLDER, standing_of


def release_told(acts: Acts, name: str) -> dict[str, Any]:
    """Of one name. What is known of a canary is what was written down after the last look at it. Raises NotFound."""
    release = acts.release(name)
    told = {"name": name, **_route(release)}
    if release.route.canary is not None:
        standing = standing_of(acts.registry.home / FOLDER, name)
        told["terms"] = msgspec.structs.asdict(release.terms)
        if standing is not None and standing.trial.began == release.began:
            told["watch"] = {
                "action": standing.action,
                "reason": standing.reason,
                "looks": standing.trial.looks,
                "canary_requests": standing.trial.of_canary.requests,
                "live_requests": standing.trial.of_live.requests,
                "outcomes": msgspec.to_builtins(standing.trial.joined.tallies),
                "verdicts": msgspec.to_builtins(standing.verdicts),
            }
    return told


def releases_told(acts: Acts) -> list[dict[str, Any]]:
    """Of every name that has a version which may be live."""
    return [release_told(acts, one.name) for one in acts.registry.wanted()]


def _route(release: Release) -> dict[str, Any]:
    route = release.route
    return {
        "live": route.live,
        "canary": route.canary,
        "share": route.canary_share,
        "bandit": route.bandit,
        "arms": list(route.arms),
        "shadows": list(route.shadows),
        "fallback": route.fallback,
        "fallback_value": route.fallback_value or None,
        "since": release.began or None,
        "reason": release.reason,
    }
