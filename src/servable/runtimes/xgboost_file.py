"""What an XGBoost model file (JSON or UBJ) says of itself, read without the library.

The version is compared with the library's before anything is loaded: a newer file can load without a word and predict
wrong. Source of the layout: xgboost's doc/model.schema.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

import msgspec

from servable.errors import CorruptModel
from servable.runtimes import ubjson
from servable.runtimes.features import Feature, category_text

_JSON: Final = re.compile(rb'\s*\{\s*"(learner"\s*:\s*\{|version"\s*:\s*\[)')
_UBJ: Final = (b"{L\0\0\0\0\0\0\0\x07learner{", b"{i\x07learner{", b"{L\0\0\0\0\0\0\0\x07version[")


class _Categories(msgspec.Struct):
    """The categories of one feature: numbers, or texts as joined bytes with the offset of each."""

    values: list[Any] = []
    offsets: list[int] | None = None


class _Encodings(msgspec.Struct):
    enc: list[_Categories] = []


class _Trees(msgspec.Struct):
    cats: _Encodings | None = None


class _Booster(msgspec.Struct):
    name: str
    model: _Trees | None = None
    gbtree: _Booster | None = None


class _Objective(msgspec.Struct):
    name: str


class _Sizes(msgspec.Struct):
    num_feature: str = "0"
    num_class: str = "0"
    num_target: str = "1"


class _Learner(msgspec.Struct):
    gradient_booster: _Booster
    learner_model_param: _Sizes
    objective: _Objective
    attributes: dict[str, Any] = {}
    feature_names: list[str] = []
    feature_types: list[str] = []


class _Document(msgspec.Struct):
    learner: _Learner
    version: tuple[int, int, int]


class XGBoostFile(msgspec.Struct, frozen=True):
    """The facts: library version, objective, booster, features in order, and how many trees were best."""

    version: tuple[int, int, int]
    objective: str
    booster: str
    classes: int
    targets: int
    features: tuple[Feature, ...]
    named: bool
    best_iteration: int | None


def is_xgboost(head: bytes) -> bool:
    """Whether a file that starts so is an XGBoost model in JSON or UBJ."""
    return head.startswith(_UBJ) or _JSON.match(head) is not None


def read(data: bytes, name: str) -> XGBoostFile:
    """Read the facts. Raises CorruptModel."""
    try:
        if data.startswith(_UBJ):
            document = msgspec.convert(ubjson.loads(data, {"trees"}), _Document)
        else:
            document = msgspec.json.decode(data, type=_Document)
        return _facts(document)
    except (ubjson.BrokenUBJSON, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise CorruptModel(f"{name!r} is a broken or cut off XGBoost model: {error}") from error


def _facts(document: _Document) -> XGBoostFile:
    learner = document.learner
    booster, sizes = learner.gradient_booster, learner.learner_model_param
    count = int(sizes.num_feature)
    names = learner.feature_names or [f"f{at}" for at in range(count)]
    if len(names) != count:
        raise ValueError(f"{len(names)} feature names for {count} features")
    trees = (booster.gbtree or booster).model
    encodings = trees.cats.enc if trees and trees.cats else []
    categories = [_texts(each) for each in encodings] or [None] * count
    best = learner.attributes.get("best_iteration")
    return XGBoostFile(
        document.version,
        learner.objective.name,
        booster.name,
        int(sizes.num_class),
        int(sizes.num_target),
        tuple(Feature(name, texts) for name, texts in zip(names, categories, strict=True)),
        bool(learner.feature_names),
        None if best is None else int(best),
    )


def _texts(categories: _Categories) -> tuple[str, ...] | None:
    """A feature's categories in the order of their codes; None for a number."""
    if categories.offsets is None:
        return tuple(map(category_text, categories.values)) or None
    raw = bytes(value & 0xFF for value in categories.values)
    ends = categories.offsets
    return tuple(raw[start:stop].decode() for start, stop in pairwise(ends)) or None
