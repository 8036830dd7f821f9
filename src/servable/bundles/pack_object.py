"""Packs a model object: a bare booster as its file, all else in the form that proves to answer as the object does."""

from __future__ import annotations

from servable.bundles.choose import To, choose
from servable.bundles.draft import Draft
from servable.bundles.keep import keep_booster
from servable.bundles.original import Original
from servable.bundles.sample import Sample
from servable.errors import UsageError


def pack_object(original: Original, name: str, sample: Sample | None, to: To) -> Draft:
    """The draft of its bundle. Raises UsageError, ConversionRejected, MissingExtra."""
    if original.answer is None:
        return keep_booster(original, name, sample, to)
    if sample is None:
        raise UsageError(
            "a model object is packed with a sample of rows, like sample=X_train: their columns are the contract, and "
            "the model's answers to them the proof"
        )
    return choose(original, name, sample, to)
