"""The report of a proof: `parity.json` for programs, `parity.html` for people. Both lie in the exported folder."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

import msgspec

from servable.edge.edition import ORIGINAL
from servable.edge.fit import Measured
from servable.edge.parity import Parity

JSON: Final = "parity.json"
HTML: Final = "parity.html"
_STYLE: Final = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:62rem;"
    "margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.3rem 1rem .3rem 0;"
    "border-bottom:1px solid #8884}code{overflow-wrap:anywhere}"
)


class Report(msgspec.Struct, frozen=True):
    """What was compared with what. Without devices nothing was: whoever exported said so. `variant` is what went, out
    of `table`, where several were measured; the tolerance is that of the variant. `notes` tell what it goes without.
    """

    model: str
    digest: str
    runtimes: dict[str, str]
    relative: float
    absolute: float
    devices: tuple[Parity, ...] = ()
    bytes: dict[str, int] = {}
    variant: str = ORIGINAL
    table: tuple[Measured, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def proven(self) -> bool:
        return bool(self.devices) and all(device.passed for device in self.devices)


def write(report: Report, folder: Path) -> None:
    """Both files."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"proven": report.proven, **msgspec.to_builtins(report)}
    (folder / JSON).write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    (folder / HTML).write_text(_page(report), encoding="utf-8")


def _page(report: Report) -> str:
    verdict = (
        "Proven equal" if report.proven else "Not equal" if report.devices else "Not proven: exported with --no-proof"
    )
    runtimes = ", ".join(f"{name} {version}" for name, version in report.runtimes.items())
    rows = "".join(_device(device) for device in report.devices)
    sizes = "".join(f"<tr><td>{escape(name)}<td>{size:,}" for name, size in report.bytes.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Parity of {escape(report.model)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(report.model)}: {verdict}</h1>"
        f"<p>{escape(runtimes)}. Variant: {escape(_variant(report))}. "
        f"Floats are equal within {report.absolute:g} + {report.relative:g} · the largest of their output in the "
        f"row; all else, refusals and rules too, to the letter. Bundle <code>{report.digest}</code>.</p>"
        + "".join(f"<p>{escape(note)}</p>" for note in report.notes)
        + "<table><tr><th>device<th>asked<th>answered<th>refused<th>different<th>largest difference by output"
        f"<th>first answer, ms<th>p50, ms</tr>{rows}</table>"
        + "".join(_mismatches(device) for device in report.devices)
        + _variants(report.table)
        + f"<h2>Bytes</h2><table>{sizes}</table></html>\n"
    )


def _device(device: Parity) -> str:
    largest = "<br>".join(f"{escape(name)} {value:.3g}" for name, value in device.largest.items())
    times = "".join(f"<td>{'' if value is None else f'{value:.3g}'}" for value in (device.first_ms, device.p50_ms))
    return (
        f"<tr><td>{escape(device.device)}<td>{device.bodies}<td>{device.answered}<td>{device.refused}<td>{device.wrong}"
        f"<td>{largest}{times}</tr>"
    )


def _variant(report: Report) -> str:
    """What went, and what it loses: equal is what the devices are to it."""
    lost = next((each.loss for each in report.table if each.variant == report.variant and each.lossy), None)
    return report.variant if lost is None else f"{report.variant}, which loses {lost:.2g} against the original"


def _variants(table: tuple[Measured, ...]) -> str:
    if not table:
        return ""
    rows = "".join(f"<tr>{''.join(f'<td>{escape(str(value))}' for value in line(each).values())}" for each in table)
    heads = "".join(f"<th>{escape(head)}" for head in line(table[0]))
    return f"<h2>Variants</h2><table><tr>{heads}</tr>{rows}</table>"


def line(measured: Measured) -> dict[str, str]:
    """A line of the table of variants, as people read it."""
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in measured.metrics.items())
    return {
        "variant": measured.variant,
        "bytes": f"{measured.bytes:,}",
        "gzipped": f"{measured.gzipped:,}",
        "p50, ms": "" if measured.latency_ms is None else f"{measured.latency_ms:.3g}",
        "loss": f"{measured.loss:.2g}",
        "of which": "; ".join(map(str, measured.losses)),
        "gate": metrics,
        "": measured.reason or "chosen",
    }


def _mismatches(device: Parity) -> str:
    if not device.mismatches:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(each.body)}</code><td>{escape(each.where)}<td><code>{escape(each.server)}</code>"
        f"<td><code>{escape(each.device)}</code>"
        for each in device.mismatches
    )
    return f"<h2>{escape(device.device)}</h2><table><tr><th>asked<th>differs in<th>server<th>device</tr>{rows}</table>"
