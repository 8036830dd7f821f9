"""A fitted estimator made ready for conversion: a copy that answers the same, in forms that skl2onnx knows.

ONNX has no missing text and no categories that are not text or whole numbers. So a missing text becomes a word of its
own (`MISSING`), a category its text, a search its best estimator, and encoders and imputers are replaced by twins whose
converters (`exact.py`) leave nothing out. The original is never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from servable.bundles.exact import Encode, fill, lookup, single_precision
from servable.runtimes.features import category_text, is_missing

MISSING: Final = "<missing>"
"""What a missing text is told to a converted model; `options.missing_text` in the manifest."""

_ENCODERS: Final = {"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"}
_SINGLE: Final = (
    "DecisionTree", "ExtraTree", "RandomForest", "GradientBoosting", "IsolationForest", "RandomTreesEmbedding", "XGB",
    "CatBoost",
)  # fmt: skip
"""Estimators that round their input to float32 before they compare; HistGradientBoosting does not."""


def adapt(estimator: Any, columns: Sequence[str], names: Sequence[str], *, by_position: bool, double: bool) -> Any:
    """A copy for conversion. `names` are those that the columns go by in the graph.

    `by_position`: its input will be one matrix, so columns are told by number. `double`: its numbers will be float64,
    so what rounds to float32 in the original is told to do so here.
    """
    renamed = dict(zip(columns, names, strict=True))
    return _adapted(copy.deepcopy(estimator), renamed, by_position=by_position, double=double)


def known_categories(estimator: Any) -> dict[str, tuple[str, ...]]:
    """The categories that fitted encoders know, by column; of pipelines in column transformers, the first that has
    any.
    """
    found: dict[str, tuple[str, ...]] = {}
    for _, transformer, chosen in _transformers(estimator):
        steps = [step for _, step in transformer.steps] if hasattr(transformer, "steps") else [transformer]
        for step in steps:
            categories = getattr(step, "categories_", None)
            if isinstance(categories, list) and len(categories) == len(chosen):
                for column, known in zip(chosen, categories, strict=True):
                    texts = tuple(category_text(value) for value in known if not is_missing(value))
                    found.setdefault(str(column), texts)
    return found


def splits_columns(estimator: Any) -> bool:
    """Whether it takes its columns apart by itself, so that it can have one input for each."""
    return next(_transformers(estimator), None) is not None


def final(estimator: Any) -> Any:
    """The last step of a pipeline, and of what is inside it."""
    while hasattr(estimator, "steps") or hasattr(estimator, "best_estimator_"):
        estimator = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator.best_estimator_
    return estimator


def _adapted(estimator: Any, columns: dict[str, str], **how: bool) -> Any:
    if hasattr(estimator, "best_estimator_"):
        return _adapted(estimator.best_estimator_, columns, **how)
    if hasattr(estimator, "steps"):
        return _pipeline(estimator, columns, **how)
    if hasattr(estimator, "transformers_"):
        return _by_column(estimator, columns, **how)
    if hasattr(estimator, "transformer_list"):
        parts = estimator.transformer_list
        estimator.transformer_list = [(name, _adapted(part, columns, **how)) for name, part in parts]
        return estimator
    if getattr(estimator, "_preprocessor", None) is not None:
        return _with_preprocessor(estimator, columns, **how)
    return _single(estimator, double=how["double"])


def _pipeline(pipeline: Any, columns: dict[str, str], **how: bool) -> Any:
    first, *rest = pipeline.steps
    steps = [
        (first[0], _adapted(first[1], columns, **how)),
        *((name, _adapted(step, {}, **how)) for name, step in rest),
    ]
    pipeline.steps = [each for name, step in steps for each in _flat(name, step)]
    return pipeline


def _single(estimator: Any, *, double: bool) -> Any:
    """An estimator without parts."""
    kind = type(estimator).__name__
    if kind in _ENCODERS:
        return lookup(estimator, MISSING, double=double)
    if kind == "SimpleImputer":
        return fill(estimator, MISSING)
    if hasattr(estimator, "flatten_transform"):
        estimator.flatten_transform = False  # of a voting classifier: says nothing of its predictions
    if kind.startswith("XGB"):
        estimator.get_booster().feature_names = None
    return single_precision(estimator) if double and kind.startswith(_SINGLE) else estimator


def _flat(name: str, step: Any) -> Iterator[tuple[str, Any]]:
    """A pipeline inside a pipeline, as steps."""
    if hasattr(step, "steps"):
        for inner, part in step.steps:
            yield from _flat(f"{name}__{inner}", part)
    elif step is not None and step != "passthrough":
        yield name, step


def _by_column(transformer: Any, columns: dict[str, str], **how: bool) -> Any:
    adapted = []
    for name, part, chosen in transformer.transformers_:
        place = _place(chosen, columns, by_position=how["by_position"])
        plain = isinstance(part, str) and part in {"drop", "passthrough"}
        adapted.append((name, part if plain else _adapted(part, {}, **how), place))
    transformer.transformers_ = adapted
    return transformer


def _place(chosen: Any, columns: dict[str, str], *, by_position: bool) -> Any:
    """Where the converter finds a column transformer's choice: positions in one matrix, or names of inputs."""
    order = list(columns)
    picked = _picked(chosen)
    if by_position or not columns:
        return [order.index(each) if isinstance(each, str) and columns else each for each in picked]
    return [columns[each if isinstance(each, str) else order[each]] for each in picked]


def _picked(chosen: Any) -> list[Any]:
    """The names or positions behind a column transformer's fitted choice: either of these, a mask or a slice."""
    if isinstance(chosen, (str, int, np.integer)):
        return [chosen if isinstance(chosen, str) else int(chosen)]
    if isinstance(chosen, slice):
        return list(range(chosen.start or 0, chosen.stop, chosen.step or 1))
    picked = list(chosen)
    if picked and isinstance(picked[0], (bool, np.bool_)):
        return [at for at, taken in enumerate(picked) if taken]
    return [each if isinstance(each, str) else int(each) for each in picked]


def _with_preprocessor(estimator: Any, columns: dict[str, str], **how: bool) -> Any:
    """HistGradientBoosting encodes categories by itself: its encoder and the rest, as a pipeline."""
    from sklearn.pipeline import Pipeline

    preprocessor, estimator._preprocessor = estimator._preprocessor, None
    (_, encoder, encoded), (_, _, others) = preprocessor.transformers_[:2]
    if columns and not how["by_position"]:
        preprocessor.transformers_ = [("encoder", encoder, encoded), ("others", "passthrough", others)]
        first = _by_column(preprocessor, columns, **how)
    else:
        table = lookup(encoder, MISSING, double=how["double"])
        first = Encode(table, _picked(encoded), _picked(others), how["double"])
    return Pipeline([("encode", first), ("model", estimator)])


def _transformers(estimator: Any) -> Iterator[tuple[str, Any, list[Any]]]:
    """The parts of every column transformer in an estimator, with their columns."""
    if hasattr(estimator, "best_estimator_"):
        yield from _transformers(estimator.best_estimator_)
    elif hasattr(estimator, "steps"):
        yield from _transformers(estimator.steps[0][1])
    elif hasattr(estimator, "transformers_"):
        names = {str(name): str(name) for name in getattr(estimator, "feature_names_in_", [])}
        for name, part, chosen in estimator.transformers_:
            yield name, part, _place(chosen, names, by_position=False)
    elif getattr(estimator, "_preprocessor", None) is not None:
        yield from _transformers(estimator._preprocessor)
