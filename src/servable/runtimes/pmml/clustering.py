"""<ClusteringModel>, by centres: the nearest one, or the most similar."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from servable.errors import CorruptModel
from servable.runtimes.pmml.distance import Measure
from servable.runtimes.pmml.document import Element, numbers, unsupported
from servable.runtimes.pmml.expressions import field
from servable.runtimes.pmml.result import Result, Shape
from servable.runtimes.pmml.values import TEXT, Names, Scope


def clustering_model(model: Element, names: Names, shape: Shape) -> tuple[Callable[[Scope], Result], Shape]:
    """Clusters are named by their id, else by their place, counted from 1."""
    if model.must("modelClass") != "centerBased":
        raise unsupported(model, f"the model class {model.must('modelClass')!r}")
    fields = [each for each in model.all("ClusteringField") if each.get("isCenterField", "true") == "true"]
    measure = Measure(model, fields)
    rules = [field(each.must("field"), names, each)[0] for each in fields]
    clusters = list(model.all("Cluster"))
    labels = tuple(cluster.get("id") or str(at) for at, cluster in enumerate(clusters, 1))
    centres = np.array([numbers(cluster.need("Array")) for cluster in clusters])
    if centres.shape != (len(clusters), len(fields)):
        raise CorruptModel(f"{model}: {len(fields)} numbers are expected in each <Cluster>")
    codes = tuple(names.texts.number(label) for label in labels)
    shape = Shape(shape.function, TEXT, labels, codes, labels)

    def nearest(scope: Scope) -> Result:
        rows = np.stack([rule(scope) for rule in rules], axis=1)
        apart = measure(rows, centres)
        best = (np.where(np.isnan(apart), -np.inf, apart).argmax(axis=1) if measure.similarity
                else np.where(np.isnan(apart), np.inf, apart).argmin(axis=1))  # fmt: skip
        value = np.array(codes)[best]
        value[np.isnan(rows).all(axis=1)] = np.nan
        return Result(value, apart, entity=best, affinities=apart)

    return nearest, shape
