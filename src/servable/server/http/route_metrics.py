"""What Routes did, as Prometheus' text: who was chosen, who answered instead, how shadows compare, which circuits are
open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from servable.server.http.exposition import Page

Snapshot = Mapping[str, Any]
Labels = dict[str, str]

SHADOW: Final = {
    "compared": ("requests_compared", "Requests to a shadow whose answers were compared."),
    "rows": ("rows_compared", "Rows that were compared."),
    "agreed": ("rows_agreed", "Of these, rows on which the shadow agrees."),
    "failed": ("failed", "Requests that the shadow failed at, and the version that answered did not."),
    "rescued": ("rescued", "Requests that the shadow answered, and the version that was asked did not."),
    "dropped": ("dropped", "Requests that the shadow had no time for."),
}


def add_routes(page: Page, snapshots: Sequence[Snapshot]) -> None:
    """Add up the doors' reports. Without a release there is nothing to tell."""
    open_now = [
        ({"model": model["name"], "version": model["version"], "door": str(door["slot"])}, int(model["circuit_open"]))
        for door in snapshots
        if not door.get("past")
        for model in door["models"]
        if "circuit_open" in model
    ]
    page.add("servable_circuit_open", "gauge", "1 while a version that keeps failing is left alone.", open_now)
    page.add(
        "servable_route_assigned_total",
        "counter",
        "Requests that a Route gave to a version, drawn one by one.",
        _summed(snapshots, "assigned", lambda key: {"version": key}),
    )
    page.add(
        "servable_fallbacks_total",
        "counter",
        "Answers given in the place of a version that could not.",
        _summed(snapshots, "fallbacks", lambda key: dict(zip(("version", "code"), key.split(" "), strict=True))),
    )
    for field, (name, what) in SHADOW.items():
        page.add(f"servable_shadow_{name}_total", "counter", what, list(_shadows(snapshots, field)))


def _summed(snapshots: Sequence[Snapshot], field: str, labels: Any) -> list[tuple[Labels, float]]:
    totals: dict[tuple[str, str], int] = {}
    for door in snapshots:
        for name, counts in (door.get("routes") or {}).items():
            for key, count in counts[field].items():
                totals[name, key] = totals.get((name, key), 0) + count
    return [({"model": name, **labels(key)}, count) for (name, key), count in sorted(totals.items())]


def _shadows(snapshots: Sequence[Snapshot], field: str) -> Iterator[tuple[Labels, float]]:
    totals: dict[tuple[str, str], int] = {}
    for door in snapshots:
        for name, counts in (door.get("routes") or {}).items():
            for version, shadow in counts["shadows"].items():
                totals[name, version] = totals.get((name, version), 0) + shadow[field]
    for (name, version), count in sorted(totals.items()):
        yield {"model": name, "version": version}, count
