"""Verdicts as a page of HTML that stands alone: a table, the plots, and the evidence for whoever doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import msgspec

from servable.checks.plots import intervals, reliability
from servable.domain.verdict import Verdict

STYLE: Final = """
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --line: #8884; --dim: #888 }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .35rem .6rem; vertical-align: top }
tr { border-bottom: 1px solid var(--line) }
.good td:first-child { color: var(--good) } .bad td:first-child { color: var(--bad) }
svg { max-width: 100%; height: auto } svg text { font-size: 12px; fill: currentColor }
svg .good line, svg .good circle { stroke: var(--good); fill: var(--good); stroke-width: 2 }
svg .bad line, svg .bad circle { stroke: var(--bad); fill: var(--bad); stroke-width: 2 }
svg .few line, svg .few circle { stroke: var(--dim); fill: var(--dim); stroke-width: 2 }
svg .limit { stroke: var(--dim); stroke-dasharray: 4 3 } svg .tick { fill: var(--dim); text-anchor: middle }
pre { background: #8881; padding: .6rem; overflow-x: auto; font-size: 12px } .dim { color: var(--dim) }
"""


def page(title: str, verdicts: Sequence[Verdict], facts: Mapping[str, Any]) -> str:
    """The whole page. `facts` stand in a line under the title: when, with which data and seed."""
    failed = sum(not verdict.passed for verdict in verdicts)
    said = f"{failed} of {len(verdicts)} checks failed" if failed else f"all {len(verdicts)} checks passed"
    told = " · ".join(f"{escape(key)} {escape(str(value))}" for key, value in facts.items() if value not in {None, ""})
    rows = "".join(
        f'<tr class="{_kind(verdict)}"><td>{"✓" if verdict.passed else "✗"}</td>'
        f'<td><a href="#v{at}">{escape(verdict.check)}</a></td><td>{escape(verdict.reason)}</td></tr>'
        for at, verdict in enumerate(verdicts)
    )
    parts = "".join(_part(at, verdict) for at, verdict in enumerate(verdicts) if verdict.evidence)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f'<h1>{escape(title)}: {escape(said)}</h1><p class="dim">{told}</p>'
        f"<table><thead><tr><th></th><th>check</th><th>what was seen</th></tr></thead><tbody>{rows}</tbody></table>"
        f"{parts}</body></html>\n"
    )


def _part(at: int, verdict: Verdict) -> str:
    """The evidence of one Verdict: drawn where it is slices or a curve, else as it is."""
    evidence = dict(verdict.evidence)
    drawn = ""
    if slices := evidence.pop("slices", None):
        margin = verdict.numbers.get("margin")
        drawn += intervals(slices, verdict.numbers.get("limit") if margin is None else -margin)
    if curve := evidence.pop("curve", None):
        drawn += reliability(curve)
    rest = msgspec.json.format(msgspec.json.encode(evidence)).decode() if evidence else ""
    listed = f"<details><summary>evidence</summary><pre>{escape(rest)}</pre></details>" if rest else ""
    return f'<h2 id="v{at}">{escape(verdict.check)}</h2><p>{escape(verdict.reason)}</p>{drawn}{listed}'


def _kind(verdict: Verdict) -> str:
    return "good" if verdict.passed else "bad"
