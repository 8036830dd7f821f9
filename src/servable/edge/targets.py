"""Where a model can go, by name: a file each, and a line here."""

from __future__ import annotations

from typing import Final

from servable.edge import browser, desktop, inline
from servable.edge.target import Target

TARGETS: Final[dict[str, Target]] = {target.name: target for target in (browser.TARGET, inline.TARGET, desktop.TARGET)}
