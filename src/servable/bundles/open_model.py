"""Opens a model for this program: here if it is data, else in a sandboxed process; proven on its golden rows.

A server does not: it measures and keeps what it loads (`engine/loading.py`), and has processes under a supervisor.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from servable.bundles import manifest
from servable.bundles.elsewhere.process import Elsewhere, needs
from servable.bundles.environments import ENVIRONMENTS, interpreter
from servable.bundles.golden import prove_golden
from servable.bundles.open import format_of, open_bundle
from servable.bundles.opened import Opened
from servable.domain.bundle import Bundle, Manifest
from servable.errors import DigestMismatch
from servable.runtimes.find import runtime
from servable.sandbox.walls import of_model
from servable.settings import load_settings


def open_model(
    source: Path,
    environments: Path | None = None,
    *,
    name: str | None = None,
    digest: str | None = None,
    device: str = "cpu",
) -> Opened:
    """The bundle or bare model at `source`, under `name` if one is given; `digest`: what it must have. `environments`
    is the folder of those that bundles name, by default that of SERVABLE_HOME.

    Raises BundleError and what is below it, MissingExtra, EnvironmentFault.
    """
    plugin, stated = format_of(source)
    opened = (
        _elsewhere(source, stated, environments or load_settings().home_path / ENVIRONMENTS, name, device)
        if needs(plugin, {} if stated is None else stated.options)
        else _here(source, name, device)
    )
    if digest is not None and opened.bundle.digest != digest:
        opened.model.close()
        raise DigestMismatch(
            f"{opened.bundle.name} at {str(source)!r} has digest {opened.bundle.digest}, registered was {digest}: the "
            "bundle was changed after it was registered; pack it again"
        )
    return opened


def _here(source: Path, name: str | None, device: str) -> Opened:
    bundle = open_bundle(source, name=name)
    model = runtime(bundle.manifest.format).load(bundle, device)
    try:
        prove_golden(bundle, model)
    except BaseException:
        model.close()
        raise
    return Opened(bundle, model)


def _elsewhere(source: Path, stated: Manifest | None, environments: Path, name: str | None, device: str) -> Opened:
    options = {} if stated is None else stated.options
    python = interpreter(source, options, environments)
    plugin, _ = format_of(source)
    there = Elsewhere(name or source.name, of_model(source.resolve()), plugin, python)
    try:
        told = there.open(source.resolve(), name, device)
    except BaseException:
        there.close()
        raise
    found = manifest.loads(told.manifest.encode())
    whole = msgspec.structs.replace(found, name=name or found.name)
    return Opened(Bundle(Path(told.folder), whole, told.digest, told.inferred), there, there.layers)
