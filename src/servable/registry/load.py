"""`servable.load`: a model for this program, by its Ref or by a path."""

from __future__ import annotations

import os
from pathlib import Path

from servable.bundles.environments import ENVIRONMENTS
from servable.bundles.load import Predictor
from servable.bundles.load import load as load_path
from servable.domain.ref import Ref
from servable.registry.registry import Registry
from servable.settings import load_settings


def load(source: Path | str, *, device: str = "cpu", home: Path | str | None = None) -> Predictor:
    """Load what `servable serve` would: a registered model (`churn`, `churn:3`, `churn@best`), a bundle, a model file.

    What may run foreign code is open in a sandboxed process of its own until `close()`; data is open in this one.
    A file or folder that is there goes before a name. Of a bare name it is the champion, or where there is none the
    newest version. `home` is where the registry lies, if not where SERVABLE_HOME says.

    Raises NotFound, UsageError, BundleError and what is below it, MissingExtra.
    """

    def find(ref: str) -> Predictor:
        return load(ref, device=device, home=home)

    settings = load_settings({"home": None if home is None else str(home)})
    environments = settings.home_path / ENVIRONMENTS
    text = str(source)
    if isinstance(source, Path) or os.sep in text or Path(text).suffix or Path(text).exists():
        return load_path(source, device=device, find=find, environments=environments)
    registry = Registry.of(settings)
    (wanted,) = registry.wanted(Ref.parse(text))
    _, bundle = registry.open(Ref(wanted.name, wanted.live))
    return load_path(bundle.folder, device=device, find=find, environments=environments)
