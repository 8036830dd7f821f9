"""What a LightGBM model file (text) says of itself, read without the library.

Source of the layout: LightGBM's src/boosting/gbdt_model_text.cpp and python-package/lightgbm/basic.py.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from servable.errors import CorruptModel, IncompatibleModel
from servable.runtimes.features import Feature, category_text

FORMAT: Final = 4
"""The newest text format that is known here: `version=v4`."""
_ENDS: Final = ("end of trees", "end of parameters")
"""What stands in every whole file; behind the last, Python's own writes the categories of its training."""


class LightGBMFile(msgspec.Struct, frozen=True):
    """The facts: objective, classes (1: one number a row), and the features in order."""

    objective: str
    classes: int
    features: tuple[Feature, ...]
    named: bool


def is_lightgbm(head: bytes) -> bool:
    """Whether a file that starts so is a LightGBM text model."""
    return re.match(rb"tree\r?\nversion=v\d+\r?\n", head) is not None


def read(data: bytes, name: str) -> LightGBMFile:
    """Read the facts. Raises CorruptModel, IncompatibleModel."""
    try:
        text = data.decode()
        header = dict(line.split("=", 1) for line in text.partition("\n\n")[0].splitlines() if "=" in line)
        version = int(header["version"].removeprefix("v"))
        names = header["feature_names"].split(" ")
        count = int(header["max_feature_idx"]) + 1
        classes = int(header["num_class"])
        if version > FORMAT:
            raise IncompatibleModel(
                f"{name!r} has LightGBM's text format v{version}, formats up to v{FORMAT} are known here: "
                "install a newer servable, or save the model with an older LightGBM"
            )
        if len(names) != count:
            raise ValueError(f"{len(names)} feature names for {count} features")
        sizes = list(map(int, header["tree_sizes"].split()))
        trees = text.count("\nTree=")
        if trees != len(sizes) or not all(f"\n{end}\n" in text for end in _ENDS):
            raise ValueError(f"{trees} of {len(sizes)} trees, and no {' or no '.join(map(repr, _ENDS))}")
        features = _features(names, text, name)
    except (UnicodeDecodeError, KeyError, ValueError, IndexError) as error:
        raise CorruptModel(f"{name!r} is a broken or cut off LightGBM model: {error!r}") from error
    named = names != [f"Column_{at}" for at in range(count)]
    return LightGBMFile(header.get("objective", ""), classes, features, named)


def _features(names: list[str], text: str, name: str) -> tuple[Feature, ...]:
    """Features with the categories that pandas had when the model was trained; whole numbers where it had none."""
    known = _pandas_categorical(text)
    if not known:
        return tuple(map(Feature, names))
    listed = re.search(r"^\[categorical_feature: ([\d,]*)\]$", text, re.MULTILINE)
    places = [int(place) for place in listed[1].split(",") if place] if listed else []
    if len(places) != len(known):
        raise IncompatibleModel(
            f"{name!r} has categories for {len(known)} columns and names {len(places)} of them: pack the model object "
            "with a sample instead of the file"
        )
    by_place = dict(zip(places, known, strict=True))
    return tuple(
        Feature(each, tuple(map(category_text, by_place[at])) if at in by_place else None)
        for at, each in enumerate(names)
    )


def _pandas_categorical(text: str) -> list[list[Any]]:
    """The last line: a list of category lists, one for each categorical column in order; or null."""
    _, found, rest = text.rpartition("\npandas_categorical:")
    lists = json.loads(rest.partition("\n")[0]) if found else None
    return [list(each) for each in lists or []]
