"""What a bundle keeps of the sample it was packed with: its profile, and rows of it for those who may."""

from __future__ import annotations

import logging

import msgspec

from servable.bundles.draft import Draft
from servable.bundles.infer import column_fields
from servable.bundles.profile import PROFILE, REFERENCE, describe, profile_bytes, profile_of, reference_bytes
from servable.bundles.sample import Sample
from servable.bundles.tables import column, to_batch
from servable.domain.batch import Array, Batch
from servable.domain.model import Model
from servable.domain.profile import Column, Profile
from servable.domain.signature import Signature
from servable.errors import InvalidInput

logger = logging.getLogger("servable.pack")


def with_sample(draft: Draft, sample: Sample, model: Model) -> Draft:
    """The draft with the profile of the sample, and its rows as the reference sample.

    The profile is of all rows that were given; its outputs are the model's answers to those that were looked at.
    """
    signature = draft.manifest.signature
    if not signature.batched:
        return draft
    rows = to_batch(sample.table, signature)
    if faults := signature.check(rows):
        logger.warning("no profile is kept: the contract refuses rows of the sample: %s", "; ".join(map(str, faults)))
        return draft
    whole = _all(sample, signature, rows)
    target, label = _outcomes(sample)
    answer = model.predict(rows)
    outputs = {
        name if name.startswith(field.name) else f"{field.name}_{name}": column
        for field in signature.outputs
        for name, column in profile_of(answer, (field,)).items()
    }
    profile = Profile(whole.rows, profile_of(whole, signature.inputs), outputs, sample.label, target)
    stated = msgspec.structs.replace(draft.manifest, profile=PROFILE, reference=REFERENCE)
    files = {**draft.files, PROFILE: profile_bytes(profile), REFERENCE: reference_bytes(rows, label)}
    return Draft(stated, files)


def without_rows(draft: Draft) -> Draft:
    """The draft without its reference sample: for data that must not travel with the model."""
    files = {path: content for path, content in draft.files.items() if path != REFERENCE}
    return Draft(msgspec.structs.replace(draft.manifest, reference=None), files)


def _all(sample: Sample, signature: Signature, rows: Batch) -> Batch:
    """All rows of the sample; those looked at, where the contract that these taught refuses some of the others."""
    if len(sample.whole) == rows.rows:
        return rows
    try:
        whole = to_batch(sample.whole, signature)
    except InvalidInput as error:
        logger.warning("the profile is of %s rows: the contract refuses others of the sample: %s", rows.rows, error)
        return rows
    if faults := signature.check(whole):
        told = "; ".join(map(str, faults))
        logger.warning("the profile is of %s rows: the contract refuses others of the sample: %s", rows.rows, told)
        return rows
    return whole


def _outcomes(sample: Sample) -> tuple[Column | None, Array | None]:
    """What the label looked like over all rows, and its values in those that were looked at."""
    if sample.labels is None:
        return None, None
    (field,) = column_fields(sample.whole_labels.to_frame(sample.label), "FP64")
    return describe(column(sample.whole_labels, field), field), column(sample.labels, field)
