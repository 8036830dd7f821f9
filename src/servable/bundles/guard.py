"""The guard of a bundle: its rules, with what they learned at packing, held against its signature."""

from __future__ import annotations

from servable.domain.bundle import Bundle
from servable.errors import BundleError, CorruptModel
from servable.rules.calibration import Calibration, read_calibration
from servable.rules.compile import BadRule
from servable.rules.guard import Guard
from servable.runtimes import verified


def guard_of(bundle: Bundle) -> Guard | None:
    """The guard; None for a bundle without rules. Raises BundleError that names the rule, CorruptModel,
    DigestMismatch.
    """
    stated = bundle.manifest
    if not stated.rules:
        return None
    try:
        return Guard(stated.rules, stated.signature, calibration_of(bundle))
    except BadRule as error:
        raise BundleError(f"the rules of bundle {bundle.name!r}: {error}") from error


def calibration_of(bundle: Bundle) -> Calibration | None:
    """What the bundle's rules learned at packing; None where they learned nothing. Raises CorruptModel,
    DigestMismatch.
    """
    stated = bundle.manifest
    if stated.calibration is None:
        return None
    data = verified.read(bundle, bundle.folder / stated.calibration)
    try:
        return read_calibration(data)
    except ValueError as error:
        raise CorruptModel(f"the calibration of bundle {bundle.name!r} cannot be read: {error}") from error
