"""Bare: a model file that nobody packed, as if it were a bundle. Opened by `open.py`, and tried by `trial.py`."""

from __future__ import annotations

import re
from pathlib import Path

from servable.bundles import digest, manifest
from servable.domain.bundle import Bundle, Manifest
from servable.domain.ref import NAME
from servable.domain.runtime import Runtime


def bare(path: Path, plugin: Runtime) -> Bundle:
    """A bundle around a bare model: the manifest that packing it as it is would have written."""
    path = path.resolve()
    seen = plugin.inspect(path)
    folder = path.parent
    files = [path] if path.is_file() else digest.walk(path)
    files.extend(folder / other for other in seen.files)
    stated = Manifest(
        name=name_from(path.stem),
        format=plugin.name,
        model=path.name,
        platform=plugin.platform,
        signature=seen.signature,
        files=tuple(digest.of_file(file, folder) for file in files),
        labels=seen.labels,
        libraries=seen.libraries,
        options=seen.options,
    )
    return Bundle(folder, stated, digest.of_bytes(manifest.dumps(stated)), inferred=True)


def name_from(stem: str) -> str:
    """A model's name from a file's stem: what a name may not hold becomes `-`.

    >>> name_from("my model (1)")
    'my-model--1-'
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", stem)[:128]
    return name if NAME.fullmatch(name) else f"m{name}"[:128]
