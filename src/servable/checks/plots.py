"""Plots of Verdicts as SVG, drawn by hand: they stand in a page that needs nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

WIDTH: Final = 640
NAME: Final = 220
"""Of which the names take so much."""
LINE: Final = 22
SQUARE: Final = 300
EDGE: Final = 36


def intervals(parts: Sequence[Mapping[str, Any]], limit: float | None) -> str:
    """One line for each part with its interval and estimate, and the limit as a line across."""
    known = [part for part in parts if part["value"] is not None]
    if not known:
        return ""
    ends = [end for part in known for end in (part["low"], part["high"])] + ([] if limit is None else [limit])
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.05 or 0.5
    low, high = low - margin, high + margin
    height = LINE * len(known) + 30

    def x(value: float) -> float:
        return NAME + (WIDTH - NAME - 10) * float(value - low) / float(high - low)

    drawn = []
    for at, part in enumerate(known):
        y = LINE * at + LINE / 2 + 4
        kind = {True: "good", False: "bad", None: "few"}[part.get("passed")]
        title = f"{part['value']:.4g} [{part['low']:.4g}, {part['high']:.4g}], {part['rows']} rows"
        drawn.append(
            f'<g class="{kind}"><title>{escape(title)}</title>'
            f'<text x="{NAME - 8}" y="{y + 4}" text-anchor="end">{escape(_short(part["slice"]))}</text>'
            f'<line x1="{x(part["low"]):.1f}" x2="{x(part["high"]):.1f}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{x(part["value"]):.1f}" cy="{y}" r="4"/></g>'
        )
    bottom = height - 24
    if limit is not None:
        drawn.append(f'<line class="limit" x1="{x(limit):.1f}" x2="{x(limit):.1f}" y1="0" y2="{bottom}"/>')
    ticks = [low + (high - low) * share for share in (0.05, 0.5, 0.95)]
    drawn += [f'<text class="tick" x="{x(tick):.1f}" y="{height - 8}">{tick:.3g}</text>' for tick in ticks]
    return _svg(WIDTH, height, drawn, "The metric and its 95 % interval, of all rows and of each slice")


def reliability(curve: Sequence[Mapping[str, float]]) -> str:
    """What was told against what came true, with intervals; the diagonal is a calibrated model."""

    def x(value: float) -> float:
        return EDGE + (SQUARE - EDGE - 8) * value

    def y(value: float) -> float:
        return SQUARE - EDGE - (SQUARE - EDGE - 8) * value

    drawn = [f'<line class="limit" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>']
    for point in curve:
        at = x(point["told"])
        title = f"told {point['told']:.1%}, came true {point['came']:.1%} of {point['rows']} rows"
        drawn.append(
            f'<g class="good"><title>{escape(title)}</title>'
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(point["low"]):.1f}" y2="{y(point["high"]):.1f}"/>'
            f'<circle cx="{at:.1f}" cy="{y(point["came"]):.1f}" r="4"/></g>'
        )
    for share in (0, 0.5, 1):
        drawn.append(f'<text class="tick" x="{x(share):.1f}" y="{SQUARE - EDGE + 16}">{share:.0%}</text>')
        drawn.append(f'<text class="tick" x="14" y="{y(share) + 4:.1f}">{share:.0%}</text>')
    drawn.append(f'<text class="tick" x="{SQUARE / 2}" y="{SQUARE - 4}">told</text>')
    return _svg(SQUARE, SQUARE, drawn, "What was told against what came true")


def _svg(width: float, height: float, drawn: Sequence[str], title: str) -> str:
    inside = f"<title>{escape(title)}</title>{''.join(drawn)}"
    return f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}">{inside}</svg>'


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:31]}…"
