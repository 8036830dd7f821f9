"""Demand: what a model must show before it serves, in words that stand in a manifest: `accuracy>=0.93 by region`.

    METRIC[(CLASS)] >=|>|<=|< NUMBER [surely] [by COLUMN, COLUMN]    a threshold, overall and for each value of a column
    METRIC[(CLASS)] not worse [within NUMBER] [by COLUMN, COLUMN]    than the champion, on the same rows
    invariant to COLUMN [within NUMBER] [for NUMBER%]                another value there does not change the answer
    [probability(CLASS)] rises|falls with COLUMN [for NUMBER%]       more of it moves the answer that way, or not at all

`surely` asks it of the whole confidence interval, not of the estimate. A column or class whose name holds a comma, a
bracket or one of these words is put in single quotes.
"""

from __future__ import annotations

import difflib
import re
from typing import Final, Literal

import msgspec

from servable.errors import UsageError

Comparison = Literal[">=", ">", "<=", "<", "=="]

METRICS: Final[dict[str, Literal["higher", "lower", "zero"]]] = {
    "accuracy": "higher", "balanced_accuracy": "higher", "precision": "higher", "recall": "higher",
    "specificity": "higher", "f1": "higher", "auc": "higher", "log_loss": "lower", "brier": "lower", "ece": "lower",
    "mae": "lower", "rmse": "lower", "mape": "lower", "r2": "higher", "bias": "zero",
}  # fmt: skip
"""Measures of answers against labels, and which way is better."""
BUDGETS: Final = ("p50_ms", "p99_ms", "size_mb", "load_s")
"""Measures of the model itself: milliseconds of a call with one row, size of its bundle, seconds to load."""


class Threshold(msgspec.Struct, frozen=True):
    """A metric, or a budget, against a number. `of` is the class it is asked of; empty: the metric chooses."""

    text: str
    metric: str
    comparison: Comparison
    limit: float
    of: str = ""
    surely: bool = False
    by: tuple[str, ...] = ()

    def holds(self, value: float) -> bool:
        """Whether a value meets the demand. NaN meets none."""
        compare = {
            ">=": value >= self.limit, ">": value > self.limit, "<=": value <= self.limit, "<": value < self.limit,
            "==": value == self.limit,
        }  # fmt: skip
        return compare[self.comparison]


class NotWorse(msgspec.Struct, frozen=True):
    """A metric against the champion's; `margin` is by how much it may be worse, None: the gate's own."""

    text: str
    metric: str
    of: str = ""
    margin: float | None = None
    by: tuple[str, ...] = ()


class Invariant(msgspec.Struct, frozen=True):
    """Another value of a column moves the answer by at most `within` in at least `share` of rows."""

    text: str
    column: str
    within: float = 0.0
    share: float = 1.0


class Monotone(msgspec.Struct, frozen=True):
    """More of a column moves the answer up (`rises`) or down, or not at all, in at least `share` of rows."""

    text: str
    column: str
    rises: bool
    of: str = ""
    share: float = 1.0


Demand = Threshold | NotWorse | Invariant | Monotone

_NAME: Final = r"'[^']+'|[^',()]+?"
_METRIC: Final = rf"(?P<metric>[A-Za-z][A-Za-z0-9_]*)\s*(?:\(\s*(?P<of>{_NAME})\s*\))?"
_BY: Final = rf"(?:\s+by\s+(?P<by>(?:{_NAME})(?:\s*,\s*(?:{_NAME}))*))?"
_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_SHARE: Final = rf"(?:\s+for\s+(?P<share>{_NUMBER})\s*%)?"
_WITHIN: Final = rf"(?:\s+within\s+(?P<within>{_NUMBER}))?"
_THRESHOLD: Final = re.compile(
    rf"{_METRIC}\s*(?P<comparison>>=|<=|==|>|<)\s*(?P<limit>{_NUMBER})(?P<surely>\s+surely)?{_BY}"
)
_NOT_WORSE: Final = re.compile(rf"{_METRIC}\s+not\s+worse{_WITHIN}{_BY}")
_INVARIANT: Final = re.compile(rf"invariant\s+to\s+(?P<column>{_NAME}){_WITHIN}{_SHARE}")
_MONOTONE: Final = re.compile(
    rf"(?:probability\s*\(\s*(?P<of>{_NAME})\s*\)\s+)?(?P<way>rises|falls)\s+with\s+(?P<column>{_NAME}){_SHARE}"
)


def parse(text: str) -> Demand:
    """Read a demand. Raises UsageError that names the nearest metric, or shows what is expected.

    >>> parse("recall(malignant)>=0.95 surely by hospital").by
    ('hospital',)
    >>> parse("acuracy>=0.9")
    Traceback (most recent call last):
    ...
    servable.errors.UsageError: check 'acuracy>=0.9': there is no metric 'acuracy': did you mean 'accuracy'?
    """
    words = text.strip()
    if found := _THRESHOLD.fullmatch(words):
        comparison: Comparison = found["comparison"]  # type: ignore[assignment] # what the pattern allows
        metric = _metric(words, found["metric"])
        if metric in BUDGETS and (found["by"] or found["of"]):
            raise UsageError(f"check {words!r}: {metric} is of the model as a whole: it has no classes and no slices")
        return Threshold(
            words, metric, comparison, float(found["limit"]), _bare(found["of"]), bool(found["surely"]),
            _names(found["by"]),
        )  # fmt: skip
    if found := _NOT_WORSE.fullmatch(words):
        metric = _metric(words, found["metric"])
        margin = None if found["within"] is None else abs(float(found["within"]))
        if metric in BUDGETS:
            raise UsageError(f"check {words!r}: {metric} is held against a number, like '{metric}<=5'")
        return NotWorse(words, metric, _bare(found["of"]), margin, _names(found["by"]))
    if found := _INVARIANT.fullmatch(words):
        return Invariant(words, _bare(found["column"]), float(found["within"] or 0.0), _share(words, found["share"]))
    if found := _MONOTONE.fullmatch(words):
        rises = found["way"] == "rises"
        return Monotone(words, _bare(found["column"]), rises, _bare(found["of"]), _share(words, found["share"]))
    raise UsageError(
        f"check {words!r} cannot be read: expected something like 'accuracy>=0.93', 'auc>=0.9 by region', "
        "'recall(yes)>=0.8 surely', 'f1 not worse within 0.01', 'invariant to gender' or 'rises with income for 95%'"
    )


def _metric(words: str, name: str) -> str:
    known = [*METRICS, *BUDGETS]
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, 1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise UsageError(f"check {words!r}: there is no metric {name!r}: {advice}")


def _share(words: str, percent: str | None) -> float:
    share = 1.0 if percent is None else float(percent) / 100
    if not 0 < share <= 1:
        raise UsageError(f"check {words!r}: expected a share of rows between 0 and 100 %, got {percent} %")
    return share


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(_bare(name) for name in re.findall(r"'[^']+'|[^',]+", text or "") if name.strip())


def _bare(name: str | None) -> str:
    return (name or "").strip().strip("'")
