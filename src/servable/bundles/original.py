"""The model object that is being packed: whose it is, what it answers, and its own file.

Told by the module its class comes from, so that nothing is imported that is not there already.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.sample import TEXT, Table
from servable.domain.batch import Array
from servable.errors import MissingExtra, UsageError
from servable.runtimes.estimator import Answer, answer_of, class_names, single_job

_LIBRARIES: Final = ("xgboost", "lightgbm", "catboost")
_FILES: Final = {"xgboost": "model.ubj", "lightgbm": "model.txt", "catboost": "model.cbm", "sklearn": "model.skops"}
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: the same model gives the same bytes."""


class Original(msgspec.Struct, frozen=True):
    """A model object. `answer` is None for a bare booster: its file is all there is of it.

    `format` is the runtime that loads its own file, `file` that file's name, `libraries` the versions that made it.
    `flat`: it takes the one text column of a table as a list.
    """

    model: Any
    format: str
    file: str
    answer: Answer | None
    classes: tuple[str, ...]
    libraries: dict[str, str]
    flat: bool = False

    def of_texts(self) -> Original:
        """The same for a model that takes a list of texts."""
        return msgspec.structs.replace(self, flat=True)

    def asked(self, table: Table) -> dict[str, Array]:
        """Its answer to a table."""
        assert self.answer is not None  # noqa: S101 - a bare booster is kept as its file, and never asked
        return self.answer(table[TEXT].to_numpy(object) if self.flat else table)

    @property
    def kind(self) -> str:
        """The class, in full: for the lineage."""
        return f"{type(self.model).__module__}.{type(self.model).__qualname__}"

    def options(self) -> dict[str, Any]:
        """What its own file does not hold: the class names of LightGBM's classifier."""
        classes = getattr(self.model, "classes_", None)
        if self.format != "lightgbm" or classes is None:
            return {}
        return {"classes": [value.item() if hasattr(value, "item") else value for value in np.asarray(classes)]}

    def dumped(self) -> bytes:
        """Its own file."""
        if self.format == "xgboost":
            booster = self.model.get_booster() if hasattr(self.model, "get_booster") else self.model
            return bytes(booster.save_raw("ubj"))
        if self.format == "lightgbm":
            booster = getattr(self.model, "booster_", self.model)
            return str(booster.model_to_string()).encode()
        if self.format == "catboost":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / self.file
                self.model.save_model(str(path), format="cbm")
                return path.read_bytes()
        return _skops(self.model)


def original_of(model: Any) -> Original:
    """Recognise a fitted model object. Raises UsageError for anything else, MissingExtra."""
    modules = {each.__module__.partition(".")[0] for each in type(model).__mro__}
    library = next((name for name in _LIBRARIES if name in modules), None)
    wrapped = hasattr(model, "predict") and type(model).__name__ != "Booster"
    if library is not None:
        answer = answer_of(model) if wrapped else None
        classes = class_names(model) if wrapped else ()
        return Original(model, library, _FILES[library], answer, classes, _versions(library))
    if not (hasattr(model, "get_params") and (hasattr(model, "predict") or hasattr(model, "transform"))):
        raise UsageError(
            f"cannot pack a {type(model).__module__}.{type(model).__qualname__}: expected a fitted scikit-learn "
            "estimator or pipeline, a model of XGBoost, LightGBM or CatBoost, or the path of a model file. A function "
            "of your own goes into one: model.py, with servable.PythonModel"
        )
    _check_fitted(model)
    single_job(model)
    libraries = _versions("scikit-learn", *(name for name in _LIBRARIES if name in _inside(model)))
    return Original(model, "sklearn", _FILES["sklearn"], answer_of(model), class_names(model), libraries)


def _check_fitted(model: Any) -> None:
    try:
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted
    except ImportError as error:
        raise MissingExtra("sklearn", "pack an estimator", missing=error.name) from error
    try:
        check_is_fitted(model)
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{type(model).__name__} is no estimator: {error}") from error
    except NotFittedError as error:
        raise UsageError(f"{type(model).__name__} is not fitted: call fit before packing it") from error


def _inside(model: Any) -> set[str]:
    """The libraries of the parts of a pipeline."""
    parts = model.get_params(deep=True).values()
    return {module for part in parts for module in [type(part).__module__.partition(".")[0]] if module in _LIBRARIES}


def _versions(*names: str) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        for package in (name, f"{name}-cpu"):
            try:
                found[name] = version(package)
            except PackageNotFoundError:
                continue
            break
    return found


def _skops(model: Any) -> bytes:
    """The estimator as a skops file, the same bytes each time: skops names things by their address in memory."""
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtra("sklearn", "keep an estimator as it is", missing=error.name) from error
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(model)))
    schema = source.read("schema.json").decode()
    addresses = re.findall(r'"__id__": (\d+)', schema)
    ids = {address: str(at) for at, address in enumerate(dict.fromkeys(addresses))}
    stems = [path.partition(".")[0] for path in re.findall(r'"file": "([^"]+)"', schema)]
    names = {stem: f"part{at}" for at, stem in enumerate(dict.fromkeys(stems))}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        renamed = re.sub(r'("__id__": )(\d+)', lambda match: match[1] + ids[match[2]], schema)
        renamed = re.sub(r'("file": ")([^".]+)', lambda match: match[1] + names[match[2]], renamed)
        for path in source.namelist():
            stem, dot, suffix = path.partition(".")
            content = renamed.encode() if path == "schema.json" else source.read(path)
            target.writestr(zipfile.ZipInfo(f"{names.get(stem, stem)}{dot}{suffix}", _EPOCH), content)
    return out.getvalue()
