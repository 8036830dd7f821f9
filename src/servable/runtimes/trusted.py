"""The types that a skops file may hold beyond those skops trusts itself: known to hold data, and to run nothing of the
file's choosing when they are made or asked to predict.

Each is named in full; no package is trusted as a whole, for its functions read files and fetch from the network.
"""

from __future__ import annotations

from typing import Final

_NUMPY: Final = ("numpy.dtype", "collections.OrderedDict", "functools.partial")

_SKLEARN: Final = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils.validation.check_array",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
)
_METRICS: Final = tuple(
    f"sklearn.metrics._dist_metrics.{metric}Distance{bits}"
    for metric in (
        "Euclidean",
        "Manhattan",
        "Minkowski",
        "Chebyshev",
        "SEuclidean",
        "Hamming",
        "Canberra",
        "BrayCurtis",
    )
    for bits in ("", "32", "64")
)
_KERNELS: Final = tuple(
    f"sklearn.gaussian_process.kernels.{kernel}"
    for kernel in (
        "ConstantKernel", "WhiteKernel", "RBF", "Matern", "RationalQuadratic", "DotProduct", "ExpSineSquared", "Sum",
        "Product", "Exponentiation", "CompoundKernel",
    )
)  # fmt: skip
_TREES: Final = (
    "xgboost.core.Booster",
    *(f"xgboost.sklearn.XGB{kind}" for kind in ("Classifier", "Regressor", "Ranker", "RFClassifier", "RFRegressor")),
    "lightgbm.basic.Booster",
    *(f"lightgbm.sklearn.LGBM{kind}" for kind in ("Classifier", "Regressor", "Ranker")),
)

TRUSTED: Final = frozenset((*_NUMPY, *_SKLEARN, *_METRICS, *_KERNELS, *_TREES))
