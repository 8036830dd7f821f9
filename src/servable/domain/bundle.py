"""Bundle: an immutable folder that holds a model and its contract. The noun only; `bundles/` opens and packs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from servable.domain.rule import Rule
from servable.domain.signature import Signature

MANIFEST: Final = "manifest.toml"
"""The manifest's file name inside the bundle's folder."""

SIGNATURES: Final = "signatures.json"
"""A file beside the manifest: who signed the bundle's digest. The one that the manifest does not list."""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle: its path inside the folder (with `/`), size in bytes, SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the bundle is. Readable and editable TOML; opening it runs no code.

    `format` names the runtime, `model` the file it loads (a path inside the folder), `platform` the protocol's string
    (`onnx_onnxv1`). `labels` gives class names per output, for answers that are asked for by label.
    `libraries` are the versions that made the model; `options` belong to the runtime; `lineage` tells where it came
    from. `golden` names a file of rows with expected outputs that a loaded version must reproduce before it serves.
    `profile` names a file that tells what the training data looked like, `reference` one of rows of it.
    `checks` are demands of whoever packed it (`accuracy>=0.9`), for the gate of a release. `rules` guard every
    prediction; `calibration` names a file of what they learned from data.
    """

    name: str
    format: str
    model: str
    platform: str
    signature: Signature
    files: tuple[File, ...]
    schema: int = 1
    golden: str | None = None
    profile: str | None = None
    reference: str | None = None
    labels: dict[str, tuple[str, ...]] = {}
    libraries: dict[str, str] = {}
    options: dict[str, Any] = {}
    lineage: dict[str, Any] = {}
    checks: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    calibration: str | None = None


class Bundle(msgspec.Struct, frozen=True):
    """A manifest and the folder it stands in. `digest` is the SHA-256 of the manifest, which holds those of the files.

    A bare model file is a bundle too: its folder is the file's, its manifest is inferred, and `inferred` is true.
    """

    folder: Path
    manifest: Manifest
    digest: str
    inferred: bool = False

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    @property
    def model_path(self) -> Path:
        """The file, or folder, that the runtime loads."""
        return self.folder / self.manifest.model
