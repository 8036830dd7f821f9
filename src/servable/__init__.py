"""Servable: pack a trained model once, then serve it as a service, offline, online-learning or at the edge.

Importing this is cheap; each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from servable.version import __version__

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# onnxruntime reads it as it is imported: without it, it keeps an id of the machine in HOME and sends home what it does.

if TYPE_CHECKING:
    from servable.bundles.pack import pack
    from servable.client import AsyncClient, Client
    from servable.online.learners.python_learner import PythonLearner
    from servable.online.learners.river import RiverLearner
    from servable.online.learners.sklearn import SklearnLearner
    from servable.online.learners.torch import TorchLearner
    from servable.registry.load import load
    from servable.registry.registry import Registry
    from servable.runtimes.python_model import PythonModel

_HOMES = {
    "pack": "servable.bundles.pack",
    "load": "servable.registry.load",
    "Registry": "servable.registry.registry",
    "Client": "servable.client",
    "AsyncClient": "servable.client",
    "PythonModel": "servable.runtimes.python_model",
    "PythonLearner": "servable.online.learners.python_learner",
    "RiverLearner": "servable.online.learners.river",
    "SklearnLearner": "servable.online.learners.sklearn",
    "TorchLearner": "servable.online.learners.torch",
}

__all__ = [
    "AsyncClient",
    "Client",
    "PythonLearner",
    "PythonModel",
    "Registry",
    "RiverLearner",
    "SklearnLearner",
    "TorchLearner",
    "__version__",
    "load",
    "pack",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'servable' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
