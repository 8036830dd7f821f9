"""What `servable demo` can show: real data, a model trained on it now, and a row it has never seen, with the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from servable.errors import MissingExtra


class Trained(NamedTuple):
    """A fitted model with the rows it was trained on, and one row (column to value) kept from it."""

    model: Any
    sample: Any
    accuracy: float
    row: dict[str, float]
    truth: str


class Demo(NamedTuple):
    """One of them: what it is in a line, and its training."""

    about: str
    train: Callable[[], Trained]


def breast_cancer() -> Trained:
    """Gradient-boosted trees that tell benign from malignant by 30 measures of cell nuclei."""
    try:
        from sklearn.datasets import load_breast_cancer
        from sklearn.ensemble import GradientBoostingClassifier
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingExtra("sklearn", "train the demo's model", missing=error.name) from error
    data = load_breast_cancer(as_frame=True)
    diagnosis = data.target_names[data.target]
    seen, kept, truth, kept_truth = train_test_split(data.data, diagnosis, random_state=0, stratify=diagnosis)
    model = GradientBoostingClassifier(random_state=0).fit(seen, truth)
    row = {name: float(value) for name, value in kept.iloc[0].items()}
    return Trained(model, seen, float(model.score(kept, kept_truth)), row, str(kept_truth[0]))


DEMOS: Final = {"breast-cancer": Demo("569 biopsies, 30 measures each: benign or malignant?", breast_cancer)}
