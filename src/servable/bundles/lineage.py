"""Lineage: where a model came from, written down while it is packed. Facts for people and for audits.

Nothing is decided by them, and none of them is a time: the same model, data and code give the same bundle.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.bundles.sample import Sample, is_frame
from servable.version import __version__

PATIENCE_S: Final = 10.0
"""For git to tell a revision."""
LONGEST: Final = 200
"""Characters of one parameter."""


def lineage_of(model: Any, given: Any, rows: Sample | None, parent: str | None) -> dict[str, Any]:
    """What is known: the data's digest, the code's revision, the estimator's parameters, the version it was made from.

    `model` is the estimator, or the path of its file; `given` the sample as the caller gave it.
    """
    found: dict[str, Any] = {"python": platform.python_version(), "servable": __version__}
    if parent is not None:
        found["parent"] = parent
    if rows is not None:
        found["data"] = data_digest(given, rows)
        found["rows"] = len(rows.whole)
    if revision := code_revision(Path.cwd()):
        found["revision"] = revision
    if parameters := parameters_of(model):
        found["parameters"] = parameters
    return found


def data_digest(given: Any, rows: Sample) -> str:
    """`sha256:` of the sample's file, or of names, dtypes and values of a table in memory."""
    hashed = hashlib.sha256()
    if isinstance(given, (str, Path)):
        with Path(given).open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    table = rows.whole
    columns = dict(table.items()) if is_frame(table) else {"": table}
    if rows.whole_labels is not None:
        columns[f"label {rows.label}"] = rows.whole_labels
    for name, values in columns.items():
        array = np.asarray(values)
        hashed.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        if array.dtype.kind in "OUSMm":
            hashed.update("\0".join(map(str, array.ravel().tolist())).encode("utf-8", "surrogatepass"))
        else:
            hashed.update(array.tobytes())
    return f"sha256:{hashed.hexdigest()}"


def code_revision(folder: Path) -> str:
    """The commit of the git repository around a folder, with `+changes` where files differ from it; empty: none."""
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return ""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""  # no git, or nothing committed yet
    return f"{commit}+changes" if changed else commit


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "--no-optional-locks", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    return done.stdout.strip()


def parameters_of(model: Any) -> dict[str, Any]:
    """An estimator's parameters, as TOML can hold them; of a part of a pipeline below its name. Empty for a file.

    >>> class Ridge:
    ...     def get_params(self, deep): return {"alpha": 0.5, "tol": None, "f": max}
    >>> parameters_of(Ridge())
    {'alpha': 0.5, 'f': 'max', 'tol': 'None'}
    """
    if isinstance(model, (str, Path)) or not callable(getattr(model, "get_params", None)):
        return {}
    try:
        found = model.get_params(deep=True)
    except TypeError:  # CatBoost's takes no depth
        found = model.get_params()
    whole = {str(key): value for key, value in found.items() if not _holds_parts(value)}
    return {key: _plain(whole[key]) for key in sorted(whole)}


def _holds_parts(value: Any) -> bool:
    """Whether it is an estimator, or a list of them: their own parameters stand beside it."""
    if isinstance(value, (list, tuple)):
        return any(map(_holds_parts, value))
    return callable(getattr(value, "get_params", None))


def _plain(value: Any) -> Any:
    """A number or text as it is, all else as text that is the same in every process."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int, str)) or (isinstance(value, float) and np.isfinite(value)):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)
    text = getattr(value, "__name__", None) or repr(value)
    return type(value).__qualname__ if " at 0x" in text else text[:LONGEST]
