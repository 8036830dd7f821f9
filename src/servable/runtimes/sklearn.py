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
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection, labels_of
from servable.domain.signature import Signature
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra, ModelFailed, UnsafeModel
from servable.runtimes import verified, zipped
from servable.runtimes.content import entries
from servable.runtimes.devices import only_cpu
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
        seen = contract_of(estimator, path.name)
        return msgspec.structs.replace(seen, libraries={"scikit-learn": version} if version else {})

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("scikit-learn models", device)
        estimator, _ = load_estimator(verified.read(bundle), bundle.manifest.model)
        return SklearnModel(estimator, bundle)


class SklearnModel:
    """A fitted estimator. Predicting does not change it, so threads may call it together."""

    concurrent = True

    def __init__(self, estimator: Any, bundle: Bundle) -> None:
        self._answer: Answer | None = answer_of(single_job(estimator))
        self._outputs = bundle.signature.outputs
        self._table = _maker(bundle.signature, bundle.manifest.options)

    def predict(self, batch: Batch) -> Batch:
        if self._answer is None:
            raise ModelFailed("the model is closed")
        if not batch.rows:
            nothing = {field.name: np.empty((0, *field.shape[1:]), field.dtype) for field in self._outputs}
            return Batch(nothing, 0)
        table = self._table(batch)
        try:
            found = _quiet(self._answer, table)
        except Exception as error:
            raise ModelFailed(f"scikit-learn: {_first(error)}") from error
        columns = {field.name: np.asarray(found[field.name], field.dtype) for field in self._outputs}
        return Batch(columns, batch.rows)

    def close(self) -> None:
        self._answer = None


def contract_of(estimator: Any, name: str) -> Inspection:
    """What a fitted estimator knows of its columns: their number and names; they are taken to be numbers.

    Raises IncompatibleModel for one that does not say, or does not take numbers.
    """
    names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
    count = len(names) or getattr(estimator, "n_features_in_", 0)
    if not count:
        raise IncompatibleModel(f"{name!r} does not say what columns it takes: pack it with a sample of rows")
    field = Field(MATRIX, "FP64", (-1, count), names, values=_missing(estimator))
    options = {"frame": msgspec.to_builtins(Columns(names, ("float64",) * count))} if names else {}
    try:
        rows = Batch({MATRIX: np.zeros((1, count))}, 1)
        found = Batch(_quiet(answer_of(estimator), table_of(rows, Signature((field,), ()), options)), 1)
    except Exception as error:
        raise IncompatibleModel(
            f"{name!r} does not take rows of numbers, and does not say what it takes ({_first(error)}): "
            "pack it with a sample of rows"
        ) from error
    outputs = output_fields(found, class_names(estimator))
    return Inspection(Signature((field,), outputs), labels_of(outputs), options=options)


def table_of(batch: Batch, signature: Signature, options: dict[str, Any]) -> Any:
    """What an estimator takes, made of a batch: a DataFrame, a list of texts or a matrix, as `options` say."""
    return _maker(signature, options)(batch)


def _maker(signature: Signature, options: dict[str, Any]) -> Callable[[Batch], Any]:
    """`options.frame` describes the DataFrame that an estimator takes; `options.flat` says: a list of texts."""
    frame = options.get("frame")
    if frame is not None:
        return FrameMaker(msgspec.convert(frame, Columns), signature).frame
    if options.get("flat") is True:
        return lambda batch: _matrix(batch).reshape(batch.rows)
    return _matrix


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
            zipped.judge(archive, len(data), name)
            schema = archive.read(_SCHEMA).decode()
        json.loads(schema)
        strange = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED)
    except UnsafeModel:
        raise
    except Exception as error:  # a wall: a broken zip, schema or array raises whatever its reader does
        raise CorruptModel(f"{name!r} is a broken or cut off skops file: {_first(error)}") from error
    if strange:
        raise UnsafeModel(
            f"{name!r} would make objects of types that are not known to be safe: {', '.join(strange)}. Build the "
            "model of scikit-learn's own parts, which may become ONNX; or pack it with its code, to run in a sandbox: "
            "joblib.dump it, and  servable pack FILE.joblib --include CODE.py --sample DATA --allow-unsafe",
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
