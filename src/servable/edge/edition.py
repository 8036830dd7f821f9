"""Edition: a model as it goes to a device: the bundle whose contract it keeps, and the bytes that run there.

The first edition of a bundle is its own model; variants are editions with other bytes. Knows no target and no device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from servable.bundles.difference import ABSOLUTE, RELATIVE
from servable.bundles.guard import guard_of
from servable.bundles.load import Predictor
from servable.bundles.opened import Opened
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.edge.life import Life
from servable.edge.one_by_one import OneByOne
from servable.edge.slim import slim
from servable.edge.texts import Reader, Texts, network_of, texts_of
from servable.errors import BundleError, UsageError
from servable.runtimes import tflite, verified
from servable.runtimes.onnx import opened
from servable.runtimes.onnx_file import read

ORIGINAL: Final = "original"
TEXTS: Final = "huggingface"
"""The one other format that is taken to devices: its network is converted on the way."""


class Edition(msgspec.Struct, frozen=True):
    """`model` is ONNX, or TFLite where `lite` says so. `bundle` states the contract of what goes: of its outputs, those
    that were kept. `variant` is what became of the model, `alone` says that its rows are computed one at a time. A
    device may differ from this edition on a server by `absolute` + `relative` of the value.
    """

    bundle: Bundle
    version: str
    model: bytes
    variant: str = ORIGINAL
    alone: bool = False
    relative: float = RELATIVE
    absolute: float = ABSOLUTE
    texts: Texts | None = None
    """How it reads texts, where the model takes these by tokens."""
    life: Life | None = None
    """What it does after it is made, where it does anything."""
    lite: bool = False

    @property
    def converted(self) -> str:
        """The format that the model was brought to on its way, empty where it is the bundle's own."""
        if self.lite:
            return "" if self.bundle.manifest.format == "tflite" else "TFLite"
        return "" if self.texts is None else "ONNX"

    @property
    def inside(self) -> Bundle:
        """The contract of the bytes themselves."""
        if self.texts is None:
            return self.bundle
        stated = msgspec.structs.replace(self.bundle.manifest, signature=self.texts.signature, labels={})
        return msgspec.structs.replace(self.bundle, manifest=stated)

    def opened(self) -> Model:
        """The edition, loaded in this process. Raises CorruptModel, IncompatibleModel."""
        if self.lite:
            return tflite.opened(self.bundle, self.model)
        model = opened(self.inside, self.model)
        if self.texts is not None:
            return Reader(model, self.texts, tuple(field.name for field in self.bundle.signature.outputs))
        return OneByOne(model) if self.alone else model


def edition_of(bundle: Bundle, version: str, outputs: Sequence[str] = ()) -> Edition:
    """The bundle's own model: every ZipMap opened, in operators that devices know, with the named outputs alone (all,
    if none is named). Raises CorruptModel, DigestMismatch, UsageError, MissingExtra.
    """
    if outputs:
        bundle = _narrowed(bundle, outputs)
    if bundle.manifest.format == TEXTS:
        return _reading(bundle, version)
    model = read(verified.read(bundle)).model
    return Edition(bundle, version, slim(model, [field.name for field in bundle.signature.outputs]))


def _reading(bundle: Bundle, version: str) -> Edition:
    """A model of texts: the network behind its tokenizer, without outputs that the bundle does not state."""
    texts = texts_of(bundle)
    stated = {field.name for field in bundle.signature.outputs}
    outputs = tuple(field for field in texts.signature.outputs if field.name in stated)
    texts = msgspec.structs.replace(texts, signature=msgspec.structs.replace(texts.signature, outputs=outputs))
    model = slim(network_of(bundle), [field.name for field in outputs])
    return Edition(bundle, version, model, alone=True, texts=texts)


def _narrowed(bundle: Bundle, outputs: Sequence[str]) -> Bundle:
    """The bundle with some outputs in its contract. Raises UsageError for one that there is not, or a rule needs."""
    signature = bundle.signature
    known = [field.name for field in signature.outputs]
    if strange := [name for name in outputs if name not in known]:
        raise UsageError(f"the model has no output {strange[0]!r}: it has {', '.join(map(repr, known))}")
    kept = tuple(field for field in signature.outputs if field.name in outputs)
    labels = {name: classes for name, classes in bundle.manifest.labels.items() if name in outputs}
    narrow = msgspec.structs.replace(signature, outputs=kept)
    stated = msgspec.structs.replace(bundle.manifest, signature=narrow, labels=labels, golden=None)
    narrowed = msgspec.structs.replace(bundle, manifest=stated)
    try:
        guard_of(narrowed)
    except BundleError as error:
        raise UsageError(f"the outputs {', '.join(outputs)} are too few: {error.message}") from error
    return narrowed


@contextmanager
def answering(edition: Edition, predictor: Predictor) -> Iterator[Predictor]:
    """Whom devices are held against: the server's own model, or the edition with its contract and rules in this
    process, where it is another one.
    """
    if edition.variant == ORIGINAL and edition.bundle.signature == predictor.bundle.signature:
        yield predictor
        return
    with Predictor(Opened(edition.bundle, edition.opened())) as other:
        yield other
