"""The sample that a model is packed with: rows like those it was trained on, from memory or from a file.

A table is a DataFrame or a matrix (numpy, two axes); whatever else is given becomes one of these.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.errors import MissingExtra, UsageError, unreadable

Table = Any
"""A pandas DataFrame, a numpy matrix, or a dict of arrays by the names of inputs."""

MAX_ROWS: Final = 2000
"""Rows of the sample that are looked at: enough for a contract and a proof, few enough to take seconds."""
_READERS: Final = {".csv": "read_csv", ".parquet": "read_parquet", ".arrow": "read_feather", ".feather": "read_feather"}
_ARRAYS: Final = ".npz"
"""Arrays by the names of the model's inputs: for models whose inputs are no table."""
_MATRIX: Final = 2
TEXT: Final = "text"
"""The name of the input of a model that takes texts, one a row."""


class Sample(msgspec.Struct, frozen=True):
    """Rows without the label, and the label's values where its column was named. `flat`: the model takes a list of
    texts, which stands in the table as its one column TEXT.

    `table` and `labels` are the rows that are looked at, `whole` and `whole_labels` all that were given.
    """

    table: Table
    whole: Table
    labels: Any = None
    whole_labels: Any = None
    label: str = ""
    flat: bool = False


def read_sample(source: Any, label: str | None = None) -> Sample:
    """A sample from a DataFrame, a matrix, a list of rows or of texts, or the path of a csv, parquet or arrow file.

    `label` is the column to leave out of the inputs. MAX_ROWS rows are looked at, evenly spread, and one more for each
    column whose missing values they would not show. Raises UsageError, EnvironmentFault, MissingExtra.
    """
    table = _from_file(Path(source)) if isinstance(source, (str, Path)) else source
    if isinstance(table, Mapping):
        arrays = {str(name): np.asarray(array) for name, array in table.items()}
        if label is not None or not arrays:
            raise UsageError("a sample of arrays is the inputs by name, at least one, without a label")
        return Sample(arrays, arrays)
    flat = _is_texts(table)
    if flat:
        table = _pandas("read a list of texts").DataFrame({TEXT: list(table)})
    if isinstance(table, list) and table and isinstance(table[0], dict):
        table = _pandas("read a list of rows").DataFrame(table)
    if hasattr(table, "to_pandas"):
        table = table.to_pandas()
    if not is_frame(table):
        table = np.asarray(table)
        if table.ndim != _MATRIX:
            raise UsageError(f"the sample has {table.ndim} axes: expected a DataFrame or a matrix [rows, columns]")
        if table.dtype.kind not in "fiub":
            raise UsageError(f"the sample is a matrix of {table.dtype}: give mixed columns as a DataFrame")
    if not len(table):
        raise UsageError("the sample has no rows")
    labels = None
    if label is not None:
        if not is_frame(table) or label not in table.columns:
            known = ", ".join(map(repr, table.columns)) if is_frame(table) else "none: the sample is a matrix"
            raise UsageError(f"the sample has no column {label!r} for the label; columns are {known}")
        labels = table[label]
        table = table.drop(columns=[label])
    if is_frame(table):
        table = _plain_names(table)
    index = _spread(table)
    some = None if labels is None else labels.iloc[index]
    return Sample(rows_of(table, index), table, some, labels, label or "", flat)


def _spread(table: Table) -> Array:
    if len(table) <= MAX_ROWS:
        return np.arange(len(table))
    gaps = table.isna().to_numpy() if is_frame(table) else np.isnan(table)
    index = np.unique(np.linspace(0, len(table) - 1, MAX_ROWS).astype(int))
    unseen = gaps.any(axis=0) & ~gaps[index].any(axis=0)
    return np.union1d(index, gaps[:, unseen].argmax(axis=0))


def _is_texts(table: Any) -> bool:
    """Whether it is a list of texts, or an array or series of them: what a vectoriser of text is fitted on."""
    if hasattr(table, "columns") or np.ndim(table) != 1 or not len(table):
        return False
    return all(isinstance(value, str) for value in table)


def is_frame(table: Any) -> bool:
    """Whether it is a DataFrame, without importing pandas."""
    return hasattr(table, "iloc") and hasattr(table, "columns")


def rows_of(table: Table, index: Any) -> Table:
    """Some rows of a table."""
    return table.iloc[index].reset_index(drop=True) if is_frame(table) else table[index]


def _plain_names(table: Any) -> Any:
    names = [str(name) for name in table.columns]
    if len(set(names)) != len(names):
        raise UsageError(f"the sample has two columns of the same name: {', '.join(names)}")
    return table if list(table.columns) == names else table.set_axis(names, axis=1)


def _from_file(path: Path) -> Any:
    if path.suffix.lower() == _ARRAYS:
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except OSError as error:
            raise unreadable(path, error, "the sample") from error
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(f"cannot read the sample {str(path)!r}: {error}") from error
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"cannot read the sample {str(path)!r}: expected one of {', '.join(_READERS)}, {_ARRAYS}")
    pandas = _pandas(f"read {path.name!r}")
    try:
        return getattr(pandas, reader)(path)
    except ImportError as error:
        raise MissingExtra("pack", f"read {path.name!r}", missing=error.name) from error
    except OSError as error:
        raise unreadable(path, error, "the sample") from error
    except Exception as error:
        raise UsageError(f"cannot read the sample {str(path)!r}: {error}") from error


def _pandas(purpose: str) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("pack", purpose, missing=error.name) from error
    return pd
