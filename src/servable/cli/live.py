"""The version that a Ref or a path means for work outside of a server: the live one of its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servable.domain.bundle import Bundle
    from servable.engine.plan import Target
    from servable.settings import Settings


def live(settings: Settings, ref: str) -> tuple[Target, Bundle]:
    """Where it lies, and its bundle, proven against its digests. Raises NotFound, UsageError, BundleError."""
    from servable.bundles.open import open_bundle
    from servable.server.targets import resolve

    plan = resolve(settings, [ref])
    (target,) = (one for one in plan.targets if one.version == plan.routes[one.name].live)
    return target, open_bundle(Path(target.source), name=target.name)
