"""scikit-learn estimators, by skops: a zip of arrays and a schema that names every type to be made.

Only types that are known to hold data are trusted; anything else is refused by name, without looking for consent inside
the file. The version of scikit-learn that made it must be the one installed: another may answer differently.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra, ModelFailed, UnsafeModel
from servable.runtimes import verified
from servable.runtimes.content import entries
from servable.runtimes.estimator import Answer, answer_of, class_names, one_thread, output_fields, single_job
from servable.runtimes.features import MATRIX
from servable.runtimes.frame import Columns, FrameMaker
from servable.runtimes.trusted import TRUSTED
from servable.runtimes.versions import parts

_SCHEMA: Final = "schema.json"
_VERSION: Final = re.compile(r'"_sklearn_version": \{[^{}]*?"content": "\\"([^"\\]+)\\""')


class SklearnRuntime:
    """The plugin."""

    name = "sklearn"
    platform = "sklearn_skops"
    isolated = False

    def recognises(self, path: Path, head: bytes) -> bool:
        if not head.startswith(b"PK\x03\x04"):
            return False
        return _SCHEMA in (entries(path) or ())

    def inspect(self, path: Path) -> Inspection:
        """What a fitted estimator knows of its columns: their number and names; they are taken to be numbers.

        An estimator of text, categories or dates does not say so: pack it with a sample.
        """
        estimator, version = load_estimator(path.read_bytes(), path.name)
        names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
        count = len(names) or getattr(estimator, "n_features_in_", 0)
        if not count:
            raise IncompatibleModel(f"{path.name!r} does not say what columns it takes: pack it with a sample of rows")
        answer = answer_of(estimator)
        try:
            table: Any = np.zeros((1, count))
            if names:
                columns = Columns(names, ("float64",) * count)
                field = Field(MATRIX, "FP64", (-1, count), names, values=_missing(estimator))
                table = FrameMaker(columns, Signature((field,), ())).frame(Batch({MATRIX: table}, 1))
            found = Batch(_quiet(answer, table), 1)
        except Exception as error:
            raise IncompatibleModel(
                f"{path.name!r} does not take rows of numbers, and does not say what it takes ({_first(error)}): "
                "pack it with a sample of rows"
            ) from error
        field = Field(MATRIX, "FP64", (-1, count), names, values=_missing(estimator))
        outputs = output_fields(found, class_names(estimator))
        options = {"frame": msgspec.to_builtins(Columns(names, ("float64",) * count))} if names else {}
        labels = {output.name: output.features for output in outputs if output.features}
        return Inspection(Signature((field,), outputs), labels, {"scikit-learn": version} if version else {}, options)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:  # noqa: ARG002 - it has no other
        estimator, _ = load_estimator(verified.read(bundle), bundle.manifest.model)
        return SklearnModel(estimator, bundle)


class SklearnModel:
    """A fitted estimator. Predicting does not change it, so threads may call it together.

    `options.frame` describes the DataFrame it takes; `options.flat` says that it takes a list of texts.
    """

    concurrent = True

    def __init__(self, estimator: Any, bundle: Bundle) -> None:
        self._answer: Answer | None = answer_of(single_job(estimator))
        self._signature = bundle.signature
        self._outputs = bundle.signature.outputs
        self._flat = bundle.manifest.options.get("flat") is True
        frame = bundle.manifest.options.get("frame")
        self._maker = None if frame is None else FrameMaker(msgspec.convert(frame, Columns), bundle.signature)

    def predict(self, batch: Batch) -> Batch:
        if self._answer is None:
            raise ModelFailed("the model is closed")
        if not batch.rows:
            return self.predict(self._signature.example()).slice(0, 0)
        table = self._maker.frame(batch) if self._maker else _matrix(batch)
        if self._flat:
            table = table.reshape(batch.rows)
        try:
            found = _quiet(self._answer, table)
        except Exception as error:
            raise ModelFailed(f"scikit-learn: {_first(error)}") from error
        columns = {field.name: np.asarray(found[field.name], field.dtype) for field in self._outputs}
        return Batch(columns, batch.rows)

    def close(self) -> None:
        self._answer = None


def load_estimator(data: bytes, name: str) -> tuple[Any, str]:
    """The estimator in a skops file, and the version of scikit-learn that made it.

    Raises UnsafeModel (types that are not trusted), IncompatibleModel (another version), CorruptModel, MissingExtra.
    """
    try:
        import sklearn
        import skops.io
    except ImportError as error:
        raise MissingExtra("sklearn", f"load {name!r}", missing=error.name) from error
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            schema = archive.read(_SCHEMA).decode()
        json.loads(schema)
        strange = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED)
    except Exception as error:  # a wall: a broken zip, schema or array raises whatever its reader does
        raise CorruptModel(f"{name!r} is a broken or cut off skops file: {_first(error)}") from error
    if strange:
        raise UnsafeModel(
            f"{name!r} would make objects of types that are not known to be safe: {', '.join(strange)}. Build the "
            "model of scikit-learn's own parts, or convert it to ONNX by packing the model object with a sample",
            types=strange,
        )
    versions = sorted(set(_VERSION.findall(schema)), key=parts)
    for version in versions:
        if parts(version)[:2] != parts(sklearn.__version__)[:2]:
            raise IncompatibleModel(
                f"{name!r} was made by scikit-learn {version}, and {sklearn.__version__} is installed: it may load and "
                f"answer differently. Run  pip install 'scikit-learn=={version}'  or pack it again with "
                f"{sklearn.__version__}"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return skops.io.loads(data, trusted=sorted(TRUSTED)), versions[-1] if versions else ""
    except Exception as error:  # a wall: a broken file raises whatever the class it names does
        raise CorruptModel(f"{name!r} is a broken skops file: {_first(error)}") from error


def _quiet(answer: Answer, table: Any) -> dict[str, Array]:
    """Warnings of every call would cost more than the call."""
    with np.errstate(all="ignore"), one_thread():
        return answer(table)


def _matrix(batch: Batch) -> Array:
    return next(iter(batch.columns.values()))


def _missing(estimator: Any) -> Any:
    """Whether the estimator says of itself that it takes NaN."""
    try:
        from sklearn.utils import get_tags

        return "missing" if get_tags(estimator).input_tags.allow_nan else "finite"
    except Exception:  # noqa: BLE001 - a wall: foreign estimators raise anything for tags they do not have
        return "finite"


def _first(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
