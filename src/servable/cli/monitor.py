"""`servable monitor`: what was answered to a name and what became of it, on the server and on devices, by version."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from servable.cli.options import AsJson, Home, registry_at
from servable.cli.terminal import say, show_json, show_table

if TYPE_CHECKING:
    from servable.domain.bundle import Bundle
    from servable.monitoring.overview import Part
    from servable.settings import Settings

DAY_S: Final = 86_400.0


def monitor(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered model.")],
    days: Annotated[float, typer.Option(help="Looked back.", metavar="N")] = 7.0,
    success: Annotated[
        str, typer.Option(help="correct, outcome or within=NUMBER: when an answer was a good one.")
    ] = "correct",
    least: Annotated[
        float | None, typer.Option(help="Fail where the share of successes is surely below.", metavar="SHARE")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what was answered and what became of it: by the server (of what it wrote to `record_file`) and on devices.

    A record of a device counts for as many calls as it stands for. With --least it fails (1) where a version's interval
    of successes ends below: for a timer, and whoever hears of its failures.

    Example:  servable monitor churn --days 30 --success correct --least 0.9
    """
    from servable.domain.success import parse_success
    from servable.errors import CheckFailed, UsageError
    from servable.settings import load_settings

    try:
        meant = parse_success(success)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    if days <= 0:
        raise UsageError(f"--days is {days:g}: expected more than 0")
    settings = load_settings({"home": home})
    parts = _parts(settings, name, time.time() - days * DAY_S, meant, _bundles(home, name))
    if as_json:
        show_json({"name": name, "days": days, "parts": [_plain(part) for part in parts]})
    elif parts:
        show_table([_line(part) for part in parts])
    else:
        say(f"nothing was recorded of {name} in {days:g} days")
    if not as_json and not settings.record_file:
        say("the server's own answers are not among these: it writes none (record_file)")
    below = [part for part in parts if least is not None and part.success is not None and part.success[2] < least]
    if below:
        told = "; ".join(f"{part.target} {part.version}: {_share(part)}" for part in below)
        raise CheckFailed(f"the share of successes is below {least:g}: {told}")


def _bundles(home: str | None, name: str) -> dict[str, Bundle]:
    """Those of the versions that are still there."""
    from servable.bundles.open import open_bundle

    registry = registry_at(home)
    model = registry.catalog().model(name)
    return {version.version: open_bundle(registry.place(version)) for version in model.living}


def _parts(settings: Settings, name: str, since: float, success: Any, bundles: dict[str, Bundle]) -> list[Part]:
    from servable.monitoring.device_records import DeviceRecords
    from servable.monitoring.outcomes import Outcomes
    from servable.monitoring.overview import of_devices, of_server, overview, standing_of

    devices = DeviceRecords.at(settings.registry_url, settings.home_path, settings.outcomes_days)
    lines = list(of_devices(devices, name, since, bundles))
    path = Path(settings.record_file).expanduser()
    if settings.record_file and path.exists():
        lines += of_server(path, name, since)
    outcomes = Outcomes.at(settings.registry_url, settings.home_path, settings.outcomes_days)
    return overview(lines, standing_of(outcomes, name, lines), bundles, success)


def _line(part: Part) -> dict[str, str]:
    return {
        "target": part.target, "version": part.version, "records": str(part.records), "calls": f"{part.calls:.0f}",
        "refused": f"{part.refused:.2%}", "failed": f"{part.failed:.2%}", "judged": str(part.judged),
        "success": "" if part.success is None else _share(part),
    }  # fmt: skip


def _share(part: Part) -> str:
    return "unknown" if part.success is None else "{:.2%} [{:.2%}, {:.2%}]".format(*part.success)


def _plain(part: Part) -> dict[str, Any]:
    import msgspec

    return dict(msgspec.to_builtins(part))
