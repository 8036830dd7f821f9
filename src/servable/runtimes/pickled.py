"""Pickles and joblib files of estimators: code that runs as it is opened, so only by consent.

The bundle must say `allow_unsafe` and hold the file's digest; then it is opened in a sandboxed model process, from the
very bytes that were checked, by the versions of libraries that made it. `options.steps` names pickles of transformers
that come before; modules beside the file can be imported.
"""

from __future__ import annotations

import io
import pickle
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection, labels_of
from servable.domain.signature import Signature
from servable.errors import CorruptModel, EnvironmentFault, IncompatibleModel, UsageError
from servable.runtimes import consent, verified, versions
from servable.runtimes.content import HEAD_BYTES
from servable.runtimes.devices import only_cpu
from servable.runtimes.estimator import answer_of, class_names, output_fields, single_job
from servable.runtimes.pickle_file import is_pickle_file, modules
from servable.runtimes.pickle_file import versions as versions_in
from servable.runtimes.sklearn import SklearnModel, contract_of, table_of

WHAT: Final = "a pickle"


class PickleRuntime:
    """The plugin."""

    name = "pickle"
    platform = "sklearn_pickle"
    isolated = True
    code = True

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.is_file() and is_pickle_file(path, head)

    def inspect(self, path: Path) -> Inspection:
        """Refuses: to learn what it takes, one would have to open it."""
        raise consent.refuse(path.name, WHAT)

    def declared(self, path: Path, known: Inspection | None = None, rows: Batch | None = None) -> Inspection:
        """The contract, by opening it: for packing, after consent. `known` is what the sample told, `rows` are its own.

        Without a sample, what the estimator knows of its columns.
        """
        options = {} if known is None else dict(known.options)
        steps = [name for name in options.pop("include", ()) if _is_pickle(path.parent / name)]
        if steps:
            options["steps"] = steps
        files = [*(path.parent / step for step in steps), path]
        data = [file.read_bytes() for file in files]
        sys.path.insert(0, str(path.parent))
        estimator = _assembled([_opened(each, file.name) for each, file in zip(data, files, strict=True)])
        libraries = _libraries(data, path.name)
        if known is None or rows is None:
            seen = contract_of(estimator, path.name)
            return Inspection(seen.signature, seen.labels, libraries, {**options, **seen.options})
        table = table_of(rows, known.signature, options)
        try:
            answer = Batch(answer_of(estimator)(table), rows.rows)
        except Exception as error:
            raise UsageError(f"the model does not answer its own sample: {error}") from error
        outputs = output_fields(answer, class_names(estimator))
        return Inspection(Signature(known.signature.inputs, outputs), labels_of(outputs), libraries, options)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("Pickled models", device)
        consent.demand(bundle, WHAT)
        for library, made_by in bundle.manifest.libraries.items():
            versions.same(library, made_by, bundle.manifest.model)
        names = [*bundle.manifest.options.get("steps", ()), bundle.manifest.model]
        sys.path.insert(0, str(bundle.folder))
        parts = [_opened(verified.read(bundle, bundle.folder / name), name) for name in names]
        return SklearnModel(_assembled(parts), bundle)


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return is_pickle_file(path, file.read(HEAD_BYTES))


def _opened(data: bytes, name: str) -> Any:
    """The object in a pickle. Runs whatever code it holds. Raises IncompatibleModel, CorruptModel."""
    for version in versions_in(data, name):
        versions.same("scikit-learn", version, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _load(data)
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"{name!r} needs the module {error.name!r}, not installed here: pip install the library that brings it, "
            "name its file with --include, or pack it with --requirements FILE"
        ) from error
    except Exception as error:  # a wall: a pickle may raise anything
        raise CorruptModel(f"{name!r} cannot be opened ({type(error).__name__}: {str(error)[:300]})") from error


def _load(data: bytes) -> Any:
    try:
        import joblib
    except ImportError:  # comes with scikit-learn: what was pickled without needs none
        return pickle.loads(data)  # noqa: S301 - what this format is; consented, pinned by digest, in a sandbox
    return joblib.load(io.BytesIO(data))


def _assembled(parts: Sequence[Any]) -> Any:
    """The one object, or a pipeline of all. Raises IncompatibleModel for what cannot predict."""
    for part in parts:
        if not (hasattr(part, "predict") or hasattr(part, "transform")):
            raise IncompatibleModel(
                f"the pickle holds a {type(part).__module__}.{type(part).__qualname__}, which has neither predict nor "
                "transform: wrap it in Python of your own (servable.PythonModel)"
            )
    if len(parts) == 1:
        return single_job(parts[0])
    from sklearn.pipeline import make_pipeline

    return single_job(make_pipeline(*parts))


def _libraries(data: Sequence[bytes], name: str) -> dict[str, str]:
    """The versions of the libraries whose objects the pickles hold, and that opening them has imported."""
    named = {module for each in data for module in modules(each, name)} & set(sys.modules)
    owners = metadata.packages_distributions()
    libraries = {owner.removesuffix("-cpu") for module in named for owner in owners.get(module, ())}
    found = {library: versions.installed(library) for library in sorted(libraries - {"servable"})}
    return {library: version for library, version in found.items() if version}
