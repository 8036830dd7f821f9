"""Does a Keras file hold code? Judged by its configuration alone, before Keras sees it.

Only layers and functions of Keras itself are let through: a Lambda holds Python, and names of other modules would be
imported. What cannot be placed is refused.
"""

from __future__ import annotations

import re
from typing import Any, Final

from servable.errors import UnsafeModel
from servable.runtimes.json_walk import objects

_MODULES: Final = re.compile(
    r"keras(\.src)?(\.(layers|models|initializers|regularizers|constraints|optimizers|losses|metrics|activations"
    r"|dtype_policies|mixed_precision|ops|engine)(\.\w+)*)?"
)
_CODE: Final = frozenset(
    {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "__numpy__"}
)
_CALLS: Final = frozenset({"TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"})
_PLAIN_CALLS: Final = re.compile(
    r"(math|nn|linalg|image|__operators__)\.[\w.]+|cast|reshape|concat|stack|expand_dims|squeeze|transpose|tile"
    r"|clip_by_value|identity|shape|zeros_like|ones_like|where|split|one_hot|__operators__\.\w+"
)


def judge(config: Any, name: str) -> None:
    """Raise UnsafeModel unless every object that the configuration names is Keras's own and no code."""
    for entry in objects(config):
        kind = entry.get("class_name")
        if kind in _CODE:
            raise UnsafeModel(_refusal(name, f"a {kind} layer or object, which is code"))
        if kind in _CALLS and not _PLAIN_CALLS.fullmatch(str(_function(entry))):
            raise UnsafeModel(_refusal(name, f"a call of {_function(entry)!r}"))
        module = entry.get("module")
        if isinstance(module, str) and kind is not None and not _MODULES.fullmatch(module):
            raise UnsafeModel(_refusal(name, f"{module}.{kind}, which is not Keras's own"))


def _function(entry: dict[str, Any]) -> Any:
    inner = entry.get("config")
    return inner.get("function") if isinstance(inner, dict) else None


def _refusal(name: str, what: str) -> str:
    return (
        f"{name!r} holds {what}. Nothing was loaded. Export it as a SavedModel (model.export(folder)) or as ONNX, "
        "where it is a graph and not code"
    )
