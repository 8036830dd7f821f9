"""McNemar: whether two classifiers that answered the same rows differ in how often they are right."""

from __future__ import annotations

from servable.errors import MissingExtra


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided mid-p-value. `only_first` counts rows that the first alone got right, `only_second` the second alone;
    rows on which both are right, or wrong, say nothing.

    Q. McNemar, Psychometrika 12 (1947); mid-p as M. W. Fagerland, S. Lydersen and P. Laake advise, BMC Medical Research
    Methodology 13 (2013): the exact test is too cautious, the asymptotic one not enough. Raises MissingExtra.

    >>> round(mcnemar(15, 5), 4), mcnemar(0, 0)
    (0.0266, 1.0)
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    if count == 0:
        return 1.0
    try:
        from scipy.special import bdtr
    except ImportError as error:
        raise MissingExtra("check", "compare two models", missing=error.name) from error
    up_to = float(bdtr(fewer, count, 0.5))
    equal = up_to - (float(bdtr(fewer - 1, count, 0.5)) if fewer else 0.0)
    return 1.0 if only_first == only_second else min(1.0, 2 * up_to - equal)
