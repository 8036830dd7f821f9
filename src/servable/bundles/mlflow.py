"""What is packed of an MLflow model folder: the model inside it, with the rows that it was saved with as the sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from servable.errors import CorruptModel, MissingExtra, UsageError
from servable.runtimes.mlflow_folder import exported, read


def unwrapped(folder: Path, sample: Any) -> tuple[Path, Any]:
    """The model inside the folder, and the sample: its own example where none is given. Raises CorruptModel."""
    if (within := exported(folder)) is not None:
        raise UsageError(f"{str(within)!r} is a bundle already: register it  (servable models register {within})")
    stated = read(folder)
    if sample is None and stated.example is not None:
        sample = _example(stated.example)
    return stated.model, sample


def _example(path: Path) -> Any:
    """A table, as MLflow writes one (pandas' `split`), or a matrix; None for what is neither."""
    try:
        stored = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise CorruptModel(f"the input example {path.name!r} is broken or cut off: {error}") from error
    if isinstance(stored, dict) and {"columns", "data"} <= stored.keys():
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra("pack", f"read {path.name!r}", missing=error.name) from error
        return pd.DataFrame(stored["data"], columns=stored["columns"])
    if isinstance(stored, dict):
        stored = stored.get("inputs") or stored.get("instances")
    try:
        matrix = np.asarray(stored, np.float64)
    except (TypeError, ValueError):
        return None
    return matrix if matrix.ndim == 2 and len(matrix) else None
