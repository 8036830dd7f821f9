"""What MLflow loads of an exported bundle: it calls `_load_pyfunc` with the bundle's folder, and asks what it gets."""

from __future__ import annotations

from typing import Any

from servable.bundles.load import Predictor, load


class Function:
    """A bundle as a `python_function`: a table in, a table out; arrays by name in, arrays by name out."""

    def __init__(self, model: Predictor) -> None:
        self._model = model

    def predict(self, inputs: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002 - MLflow's own signature
        """The bundle's answer. Raises InvalidInput with every fault."""
        return self._model.predict(inputs)


def _load_pyfunc(path: str) -> Function:
    return Function(load(path))
