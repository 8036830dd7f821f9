"""Where a model can go, by name: a file each, and a line here."""

from __future__ import annotations

from typing import Final

from servable.edge import browser, c_header, desktop, inline, mobile, react_native
from servable.edge.target import Target

_MODULES: Final = (browser, inline, desktop, c_header, mobile, react_native)
TARGETS: Final[dict[str, Target]] = {module.TARGET.name: module.TARGET for module in _MODULES}
