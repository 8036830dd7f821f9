"""Seen: what a Route has done so far in all doors of a server, as plain values: whom it chose, how shadows compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from servable.statistics.sequential import paired_evidence, proportion_sequence

MOST_TOLD: Final = 1e6
"""Evidence beyond it is told as this much."""
_SUMMED: Final = ("compared", "rows", "agreed", "failed", "rescued", "dropped")


def seen(reports: Iterable[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Of one name. A shadow is compared request by request with what answered, so few differences tell much:
    `agreement` is the share of rows on which both agree, with the ends between which it lies at all looks at once, and
    `evidence` that one of the two fails more often (20: an error of 5 % at the most).
    """
    assigned: dict[str, int] = {}
    fallbacks: dict[str, int] = {}
    shadows: dict[str, dict[str, Any]] = {}
    for counts in (report.get("routes", {}).get(name) for report in reports):
        for total, own in ((assigned, "assigned"), (fallbacks, "fallbacks")):
            for key, count in (counts or {}).get(own, {}).items():
                total[key] = total.get(key, 0) + count
        for version, own_counts in (counts or {}).get("shadows", {}).items():
            shadow = shadows.setdefault(version, dict.fromkeys(_SUMMED, 0) | {"largest": 0.0})
            for field in _SUMMED:
                shadow[field] += own_counts[field]
            shadow["largest"] = max(shadow["largest"], own_counts["largest"])
    for shadow in shadows.values():
        agreement = proportion_sequence(shadow["agreed"], shadow["rows"])
        shadow["agreement"] = list(agreement) if shadow["rows"] else None
        shadow["evidence"] = min(paired_evidence(shadow["failed"], shadow["rescued"]), MOST_TOLD)
    return {"assigned": assigned, "fallbacks": fallbacks, "shadows": shadows}
