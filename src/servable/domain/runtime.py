"""Runtime: the plugin for one model format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec

from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.signature import Signature


class Inspection(msgspec.Struct, frozen=True):
    """What a runtime reads from a model file without a sample: its signature, and more for the manifest.

    `files` are the other files that loading will read, as paths relative to the model file's folder.
    """

    signature: Signature
    labels: dict[str, tuple[str, ...]] = {}
    libraries: dict[str, str] = {}
    options: dict[str, Any] = {}
    files: tuple[str, ...] = ()


def labels_of(outputs: tuple[Field, ...]) -> dict[str, tuple[str, ...]]:
    """The class names of each output whose positions have names, for the manifest's `labels`."""
    return {field.name: field.features for field in outputs if field.features}


class Runtime(Protocol):
    """One format. Found through the entry-point group `servable.runtimes`; built-ins come in by the same door.

    A runtime object is cheap: its library is imported in `inspect` and `load`, not before, and `MissingExtra` names the
    extra when it is absent.
    """

    name: str
    """The format's name in manifests and in `--format`: `onnx`."""
    platform: str
    """The protocol's platform string: `onnx_onnxv1`."""
    isolated: bool
    """True if loading or predicting may run foreign code: it then lives in a model process, never in a door."""

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the file (or folder) is of this format, by its content. `head` is its first 4 KiB, empty for a
        folder. Must not import the format's library.
        """
        ...

    def inspect(self, path: Path) -> Inspection:
        """Read the contract that the file itself states. Raises CorruptModel, IncompatibleModel, MissingExtra."""
        ...

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        """Load. Raises CorruptModel, IncompatibleModel, MissingExtra."""
        ...
