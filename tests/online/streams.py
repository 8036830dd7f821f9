"""Published streams, and the models of River that were measured on them, test then train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from river import datasets, forest, linear_model, naive_bayes, preprocessing, tree

import servable
from servable.bundles.write import write_bundle
from servable.domain.batch import Array, Batch
from servable.online.learners.python_runtime import PythonLearning, _run, _signature

STREAMS: Final = {"phishing": datasets.Phishing, "bananas": datasets.Bananas}
NO_CHANGE: Final = {"phishing": 0.5152, "bananas": 0.5096}
"""What the answer "as the last one" scores."""

MODELS: Final = {
    "scaled regression": "preprocessing.StandardScaler() | linear_model.LogisticRegression()",
    "regression": "linear_model.LogisticRegression()",
    "naive Bayes": "naive_bayes.GaussianNB()",
    "Hoeffding tree": "tree.HoeffdingTreeClassifier()",
    "adaptive tree": "tree.HoeffdingAdaptiveTreeClassifier(seed=42)",
    "ALMA": "preprocessing.StandardScaler() | linear_model.ALMAClassifier()",
    "adaptive forest": "forest.ARFClassifier(n_models=10, seed=42)",
}
OTHERS: Final = {
    "passive-aggressive": "preprocessing.StandardScaler() | linear_model.PAClassifier()",
    "perceptron": "preprocessing.StandardScaler() | linear_model.Perceptron()",
}
"""Models of which nobody published a figure."""
PUBLISHED: Final = {
    "phishing": dict(zip(MODELS, (0.8928, 0.7304, 0.8840, 0.8792, 0.8736, 0.8256, 0.9096), strict=True)),
    "bananas": dict(zip(MODELS, (0.5372, 0.5377, 0.6155, 0.6432, 0.6166, 0.5064, 0.8832), strict=True)),
}
"""Their accuracies, to four digits."""

SOURCE: Final = """
import servable


class Stream(servable.RiverLearner):
    inputs = {inputs}
    classes = (0, 1)

    def model(self):
        from river import forest, linear_model, naive_bayes, preprocessing, tree

        return {model}
"""


class Stream(NamedTuple):
    """A stream in its order: `names` of the columns of `x`, which River's own random choices go by; classes 0 and 1."""

    names: list[str]
    x: Array
    y: Array

    def batch(self, row: int) -> Batch:
        """One row."""
        return Batch({name: self.x[row : row + 1, place] for place, name in enumerate(self.names)})


def stream(name: str) -> Stream:
    """One of STREAMS."""
    events = list(STREAMS[name]())
    x = np.array([list(values.values()) for values, _ in events], np.float64)
    return Stream([str(key) for key in events[0][0]], x, np.array([int(y) for _, y in events]))


def source(stream: Stream, model: str) -> str:
    """The source of a learner of one of MODELS."""
    return SOURCE.format(inputs=dict.fromkeys(stream.names, "FP64"), model=(MODELS | OTHERS)[model])


def learner(stream: Stream, model: str) -> PythonLearning:
    """The learner that the source describes."""
    path = Path("stream.py")
    kind = _run(source(stream, model).encode(), path)
    made = kind()
    made.load(Path())
    return PythonLearning(made, _signature(kind, path))


def alone(model: str) -> Any:
    """The model itself, without Servable."""
    known: dict[str, Any] = {
        "forest": forest, "linear_model": linear_model, "naive_bayes": naive_bayes, "preprocessing": preprocessing,
        "tree": tree,
    }  # fmt: skip
    made: Callable[[], Any] = eval(f"lambda: {MODELS[model]}", known)  # noqa: S307 - one of the lines above
    return made()


def packed(folder: Path, source: str, name: str, **guards: float) -> Path:
    """The bundle of a learner in Python, with limits of its guards."""
    path = folder / f"{name}.py"
    path.write_text(source)
    return restricted(path, folder, **guards)


def restricted(model: Path, folder: Path, **guards: float) -> Path:
    """The bundle of a learner that tells of each example at once: a client that waits for it is not kept waiting.
    `guards` are limits of theirs.
    """
    bundle = servable.pack(model, output=folder / "packed", allow_unsafe=True)
    options = {**bundle.manifest.options, "learning": {"publish_s": 0.0, "guards": guards}}
    files: dict[str, bytes | Path] = {file.path: bundle.folder / file.path for file in bundle.manifest.files}
    stated = msgspec.structs.replace(bundle.manifest, options=options)
    return write_bundle(folder / "bundle", stated, files).folder
