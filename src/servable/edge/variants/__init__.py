"""The variants of a model: what can be made of it so that it is smaller or quicker. One file each way; this is the
table.

A variant that is not `lossy` answers as the original does; of a lossy one, `loss.py` says how far off it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from servable.domain.batch import Batch
from servable.edge.variants import narrow, optimise, quantise

Made = bytes | None


class Variant(msgspec.Struct, frozen=True):
    """`make` gives the bytes of the variant from those of the model and rows to calibrate by; None where there is
    nothing in the model that it would change. `rough`: it computes in whole numbers, which processors round apart.
    `alone`: rows of one call share a scale, so each is computed by itself.
    """

    name: str
    make: Callable[[bytes, Batch], Made]
    lossy: bool = True
    rough: bool = False
    alone: bool = False


VARIANTS: Final = (
    Variant("optimised", optimise.optimised, lossy=False),
    Variant("float16", narrow.halves),
    Variant("int8-weights", narrow.eighths),
    Variant("int8", quantise.dynamic, rough=True, alone=True),
    Variant("int8-static", quantise.static, rough=True),
)
