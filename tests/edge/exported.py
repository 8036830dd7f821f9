"""What the fixture `exported_to` gives: the folder of an export, and its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from servable.edge.report import Report

Exported = tuple[Path, Report]
ExportTo = Callable[[str], Exported]
"""By the name of a target."""
