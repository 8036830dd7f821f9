"""A bundle with those of its rules that the sources for Kotlin and Swift know."""

from __future__ import annotations

import msgspec

from servable.domain.bundle import Bundle

KNOWN = ("adult", "rich", "known-city", "with-kind")


def simple(bundle: Bundle) -> Bundle:
    """Such a bundle."""
    rules = tuple(rule for rule in bundle.manifest.rules if rule.name in KNOWN)
    stated = msgspec.structs.replace(bundle.manifest, rules=rules, calibration=None)
    return msgspec.structs.replace(bundle, manifest=stated)
