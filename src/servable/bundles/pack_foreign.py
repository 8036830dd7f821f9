"""Packs a file that may run foreign code as it is opened: in a sandboxed process it is opened, asked and converted.

Nothing comes back from there but a manifest and bytes, and those are held against what such a file may become.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.bundles import manifest
from servable.bundles.choose import To
from servable.bundles.convert_file import pack_file
from servable.bundles.draft import Draft
from servable.bundles.elsewhere.messages import Make
from servable.bundles.elsewhere.process import Elsewhere
from servable.bundles.elsewhere.table import given
from servable.bundles.lineage import parameters_of
from servable.bundles.original import original_of
from servable.bundles.pack_object import pack_object
from servable.bundles.sample import TEXT, Sample
from servable.bundles.source import FileSource, ForeignSource
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra, UnsafeModel
from servable.runtimes import consent
from servable.runtimes.find import runtime
from servable.runtimes.pickle_file import versions
from servable.sandbox.walls import of_model

Tell = Callable[[tuple[str, ...]], Any]
"""Is told the layers of the sandbox."""

_TIMELESS: Final = frozenset({"LabelEncoder"})
"""Parts that hold values and nothing else, alike in every version of scikit-learn: LightGBM's classifiers have one."""


def pack_foreign(source: ForeignSource, name: str, sample: Sample | None, to: To, tell: Tell) -> Draft:
    """The draft of its bundle, made elsewhere. Raises what making it raises, CorruptModel, UnsafeModel."""
    message = None if sample is None else given(_whole(sample))
    label = "" if sample is None else sample.label
    with Elsewhere(source.path.name, of_model(source.path), runtime(source.format)) as there:
        tell(there.layers)
        made = there.made(Make(source.format, str(source.path), name, to, message, label))
    stated = manifest.loads(made.manifest.encode())
    if getattr(runtime(stated.format), "code", False) or stated.options.get(consent.ALLOW):
        raise UnsafeModel(f"what became of {source.path.name!r} is {stated.format}, which runs code: it is not kept")
    kept = {path: Path(place) for path, place in made.kept.items()}
    for place in kept.values():
        _of_the_model(place, source.path)
    return Draft(msgspec.structs.replace(stated, name=name), {**made.made, **kept})


def make_here(path: Path, kind: str, name: str, sample: Sample | None, to: To) -> Draft:
    """The same, here: behind walls, in the process that `pack_foreign` starts."""
    plugin = runtime(kind)
    if kind != "pickle":
        return pack_file(FileSource(path, kind, plugin.inspect(path)), name, sample, to)
    original = original_of(_unpickled(path))
    draft = pack_object(original, name, sample, to)
    lineage = {**draft.manifest.lineage, "parameters": parameters_of(original.model)}
    return Draft(msgspec.structs.replace(draft.manifest, lineage=lineage), draft.files)


def _whole(sample: Sample) -> Any:
    """The sample as it was given, label and all: it is read there as it was here."""
    if sample.flat:
        return sample.whole[TEXT].to_numpy(object)
    if sample.whole_labels is None:
        return sample.whole
    return sample.whole.assign(**{sample.label: sample.whole_labels})


def _of_the_model(place: Path, model: Path) -> None:
    """Raise CorruptModel unless a file that is to be kept belongs to the model: its process must not choose others."""
    whole = place.resolve()
    beside = whole.parent == model.parent and whole.name.startswith(model.stem)
    if not (beside or whole.is_relative_to(model)):
        raise CorruptModel(f"the process that opened {model.name!r} wants {str(place)!r} kept, which is not part of it")


def _unpickled(path: Path) -> Any:
    """The object in a pickle or joblib file: opening one runs whatever code it holds."""
    try:
        import joblib
    except ImportError as error:
        raise MissingExtra("sklearn", f"open {path.name!r}", missing=error.name) from error
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            model = joblib.load(path)
    except Exception as error:  # a wall: a pickle may raise anything
        made_by = ", ".join(versions(path.read_bytes(), path.name))
        own = "; a module of your own by --include FILE.py" if isinstance(error, ModuleNotFoundError) else ""
        raise CorruptModel(
            f"{path.name!r} cannot be opened here ({type(error).__name__}: {error}): it wants the libraries and "
            f"versions it was made with{f' (scikit-learn {made_by})' if made_by else ''}. Name them by "
            f"--requirements{own}"
        ) from error
    _same_version(path, heard)
    return model


def _same_version(path: Path, heard: list[warnings.WarningMessage]) -> None:
    """Raise IncompatibleModel where scikit-learn said, as it made an estimator, that another version had written it.

    It would then answer, but perhaps otherwise: there is nothing left to prove a packed model against.
    """
    for each in heard:
        if getattr(each.message, "estimator_name", None) in _TIMELESS:
            continue
        written = getattr(each.message, "original_sklearn_version", None)
        if written is not None:
            here = getattr(each.message, "current_sklearn_version", "another version")
            raise IncompatibleModel(
                f"{path.name!r} was made by scikit-learn {written}, and {here} is installed: it may answer "
                f"differently. Keep it as it is, with --requirements FILE that says scikit-learn=={written}"
            )
