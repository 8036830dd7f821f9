"""What the Open Inference Protocol tells of a model: its contract, as every door writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from servable.domain.field import Field
from servable.domain.signature import Signature


def contract(name: str, versions: Sequence[str], platform: str, signature: Signature) -> dict[str, Any]:
    """Model metadata. -1 is any size."""
    return {
        "name": name,
        "versions": list(versions),
        "platform": platform,
        "inputs": [_tensor(field) for field in signature.inputs],
        "outputs": [_tensor(field) for field in signature.outputs],
    }


def _tensor(field: Field) -> dict[str, Any]:
    told: dict[str, Any] = {"name": field.name, "datatype": field.datatype, "shape": list(field.shape)}
    if field.features:
        told["features"] = list(field.features)  # ours: which column stands where
    if field.values == "missing":
        told["values"] = field.values  # ours: null is taken, and so is an absent column
    return told
