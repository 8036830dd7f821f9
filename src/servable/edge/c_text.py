"""The text of the header: tables of trees, and one function that walks them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from servable.edge.trees import Trees

_A_LINE: Final = 6
_STRUCTS: Final = """struct model_node {
  float threshold;
  unsigned yes, no;
  unsigned short feature;
  unsigned char mode, missing;
};
struct model_weight {
  unsigned target;
  float weight;
};
"""
_WALK: Final = """
static int model_goes_yes(const struct model_node *node, float value) {
  if (isnan(value)) return node->missing || node->mode == 6;
  switch (node->mode) {
    case 1: return value <= node->threshold;
    case 2: return value < node->threshold;
    case 3: return value >= node->threshold;
    case 4: return value > node->threshold;
    case 5: return value == node->threshold;
    default: return value != node->threshold;
  }
}

static void model_sum(const float *features, float *sums) {
  for (unsigned tree = 0; tree < sizeof(MODEL_ROOTS) / sizeof(MODEL_ROOTS[0]); tree++) {
    const struct model_node *node = &MODEL_NODES[MODEL_ROOTS[tree]];
    while (node->mode) node = &MODEL_NODES[model_goes_yes(node, features[node->feature]) ? node->yes : node->no];
    for (unsigned at = node->yes; at < node->no; at++) sums[MODEL_WEIGHTS[at].target] += MODEL_WEIGHTS[at].weight;
  }
}
"""
_LOGISTIC: Final = """
static float model_logistic(float x) {
  float share = 1.0f / (1.0f + expf(-fabsf(x)));
  return x < 0 ? 1.0f - share : share;
}
"""


def header(trees: Trees, features: int, names: Sequence[str], title: str) -> str:
    """The whole of it: C99, and C++; needs math.h, and nothing else."""
    told = [f"{at} {name}" for at, name in enumerate(names)]
    scores = trees.targets
    labels = ", ".join(json.dumps(str(label)) for label in trees.labels)
    what = "the label's number, and the share of each class in scores" if labels else "0, and the answer in scores"
    return "\n".join([
        f"/* {_safe(title)}.", "",
        "   model_predict takes a row of features, NAN where there is no value, and gives", f"   {what}.",
        "   It allocates nothing, and may be called by many at once.", "",
        *(f"   {_safe(line)}" for line in told), "*/", "#ifndef SERVABLE_MODEL_H", "#define SERVABLE_MODEL_H", "",
        "#include <math.h>", "", f"#define MODEL_FEATURES {features}", f"#define MODEL_SCORES {scores}", "",
        *([f"static const char *const MODEL_LABELS[] = {{{labels}}};", ""] if labels else []),
        _STRUCTS,
        _table("struct model_node MODEL_NODES", (
            f"{{{_float(node.threshold)}, {node.yes}, {node.no}, {node.feature}, {node.mode}, {int(node.missing)}}}"
            for node in trees.nodes
        )),
        _table("struct model_weight MODEL_WEIGHTS", (f"{{{at}, {_float(weight)}}}" for at, weight in trees.weights)),
        _table("unsigned MODEL_ROOTS", map(str, trees.roots)),
        _WALK, *([_LOGISTIC] if trees.transform == "LOGISTIC" else []), _predict(trees), "", "#endif", "",
    ])  # fmt: skip


def _predict(trees: Trees) -> str:
    base = ", ".join(_float(value) for value in trees.base)
    lines = [
        "static int model_predict(const float *features, float *scores) {",
        f"  const float base[] = {{{base}}};",
        f"  float sums[{len(trees.base)}] = {{0}};",
        "  model_sum(features, sums);",
        f"  for (int at = 0; at < {len(trees.base)}; at++) sums[at] = (sums[at] + base[at]) / {_float(trees.divisor)};",
    ]
    return "\n".join([*lines, *(_of_one(trees) if trees.single else _of_many(trees)), "}"])


def _of_one(trees: Trees) -> list[str]:
    """Two classes by one score, as onnxruntime does it."""
    if trees.positive:
        first, second = "1.0f - sums[0]", "sums[0]"
    elif trees.transform == "LOGISTIC":
        first, second = "model_logistic(-sums[0])", "model_logistic(sums[0])"
    else:
        first, second = "-sums[0]", "sums[0]"
    least = "0.5f" if trees.positive else "0.0f"
    return [f"  scores[0] = {first};", f"  scores[1] = {second};", f"  return sums[0] > {least};"]


def _of_many(trees: Trees) -> list[str]:
    count = trees.targets
    best = [
        "  int best = 0;",
        f"  for (int at = 1; at < {count}; at++) if (sums[at] > sums[best]) best = at;",
    ]
    if trees.transform == "SOFTMAX":
        best += [
            "  float whole = 0;",
            "  const float most = sums[best];",
            f"  for (int at = 0; at < {count}; at++) whole += sums[at] = expf(sums[at] - most);",
            f"  for (int at = 0; at < {count}; at++) scores[at] = sums[at] / whole;",
        ]
    elif trees.transform == "LOGISTIC":
        best += [f"  for (int at = 0; at < {count}; at++) scores[at] = model_logistic(sums[at]);"]
    else:
        best += [f"  for (int at = 0; at < {count}; at++) scores[at] = sums[at];"]
    return [*best, "  return best;"]


def _table(head: str, values: Iterable[str]) -> str:
    held = list(values)
    lines = [", ".join(held[at : at + _A_LINE]) for at in range(0, len(held), _A_LINE)]
    return f"static const {head}[] = {{\n  " + ",\n  ".join(lines) + "\n};"


def _float(value: float) -> str:
    """As the shortest text of 32 bits that reads back to it."""
    text = str(np.float32(value))
    if text in {"inf", "-inf"}:
        return text.replace("inf", "INFINITY")
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _safe(text: str) -> str:
    return text.replace("*/", "* /")
