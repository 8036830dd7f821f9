"""Makes the estimators of XGBoost, LightGBM and CatBoost known to skl2onnx, alone or inside a pipeline.

Only those that are installed and already loaded: a model of theirs cannot be here without its library.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any


def register() -> None:
    """Register what is loaded now; asking again costs nothing."""
    for library, names in (
        ("xgboost", ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")),
        ("lightgbm", ("LGBMClassifier", "LGBMRegressor")),
    ):
        if library in sys.modules:
            _register(library, names)


@cache
def _register(library: str, names: tuple[str, ...]) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    for name in names:
        kind = getattr(sys.modules[library], name, None)
        if kind is None:
            continue
        classifier = name.endswith("Classifier")
        shape = calculate_linear_classifier_output_shapes if classifier else calculate_linear_regressor_output_shapes
        options: dict[str, Any] = {"zipmap": [True, False, "columns"], "nocl": [True, False]} if classifier else {}
        if library == "lightgbm":
            options["split"] = None
        update_registered_converter(kind, f"{library}{name}", shape, _converter(library), options=options)


def _converter(library: str) -> Any:
    if library == "xgboost":
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        return convert_xgboost
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    return convert_lightgbm
