"""Environment: what a model process gets to see of the variables of whoever starts it. The rest may hold secrets."""

from __future__ import annotations

import os
from typing import Final

KEPT: Final = (
    "PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS",
)  # fmt: skip
KEPT_FAMILIES: Final = ("LC_", "OMP_", "OPENBLAS_", "MKL_", "CUDA_", "NVIDIA_", "TF_CPP_", "TORCH_NUM_")


def environment() -> dict[str, str]:
    """What a model process sees of ours, and one seed of hashes for all: a model that goes through a set of texts would
    else answer, and learn, otherwise in each process.
    """
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_FAMILIES)}
    return {**kept, "PYTHONHASHSEED": "0"}
