"""The file of schedules: TOML, a table for each.

[nightly]
cron = "30 2 * * *"             # or  every = "6h"
timezone = "Europe/Vienna"      # of itself UTC
missed = "run"                  # catch up with the last one that was missed; or "skip"
batch = ["churn@champion", "--input", "s3://bank/night/", "--key", "customer", "--table", "churn"]
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from servable.domain.ref import NAME
from servable.errors import MissingExtra, UsageError, unreadable

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When, and the words of the `servable batch` that is run then."""

    batch: tuple[str, ...]
    cron: str = ""
    every: str = ""
    timezone: str = "UTC"
    missed: Literal["run", "skip"] = "run"

    def following(self, after: float) -> float:
        """The first time that is due after this one; both in seconds since the epoch. Raises UsageError.

        >>> Schedule((), every="6h").following(21_600.0)
        43200.0
        """
        if self.every:
            length = _length(self.every)
            return (after // length + 1) * length
        try:
            from cronsim import CronSim, CronSimError
        except ImportError as error:
            raise MissingExtra("offline", "read cron expressions", missing="cronsim") from error
        try:
            # From the second itself on, and not from within it: a time that was run must not come again.
            start = datetime.fromtimestamp(int(after), self._zone()) + timedelta(seconds=after > int(after))
            return next(CronSim(self.cron, start)).timestamp()
        except (CronSimError, StopIteration) as error:
            told = "that never comes" if isinstance(error, StopIteration) else error
            raise UsageError(f"cron = {self.cron!r}: {told}") from error

    def _zone(self) -> tzinfo:
        try:
            return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise UsageError(f"timezone = {self.timezone!r}: expected a name such as Europe/Vienna") from error


def load_schedules(path: Path) -> dict[str, Schedule]:
    """All schedules of a file, each tried out. Raises UsageError that names what is wrong."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error, "the schedules") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a valid TOML file: {error}") from error
    found = {}
    for name, table in tables.items():
        try:
            schedule = msgspec.convert(table, Schedule)
            if bool(schedule.cron) == bool(schedule.every):
                raise UsageError("expected cron or every, one of them")
            if not schedule.batch or not NAME.fullmatch(name):
                raise UsageError("expected a plain name, and the words of a batch")
            schedule.following(0.0)
        except (msgspec.ValidationError, UsageError) as error:
            raise UsageError(f"{path}: schedule [{name}]: {error}") from error
        found[name] = schedule
    if not found:
        raise UsageError(f"{path} holds no schedule: expected a table for each, such as [nightly]")
    return found


def _length(text: str) -> float:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None or not int(found[1]):
        raise UsageError(f"every = {text!r}: expected a length of time such as 15m, 6h or 1d")
    return float(found[1]) * SECONDS[found[2]]
