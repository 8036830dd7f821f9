"""Results: the newest samples of every figure, with when and how they were taken. What the page is written from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure


@dataclass(frozen=True)
class Measured:
    """A figure, and the run that it is of. `of` is the name it is asked by (`--only`), `busy` the share of the cores
    that others used just before.
    """

    of: str
    figure: Figure
    made: str
    repeats: int
    seconds: float
    busy: float

    def terms(self) -> str:
        """When and how, in a cell."""
        return f"{self.made[:10]}, {self.repeats} × {self.seconds:g} s, {self.busy:.0%} busy"


def renewed(known: Iterable[Measured], measured: Sequence[Measured], order: Sequence[str]) -> list[Measured]:
    """What is known with what was measured in the place of older samples, in the order of the names."""
    fresh = {each.of for each in measured}
    whole = [*(each for each in known if each.of not in fresh and each.of in order), *measured]
    return sorted(whole, key=lambda each: order.index(each.of))


def read(path: Path) -> list[Measured]:
    """Those of a file that `as_json` wrote; none where there is no file."""
    if not path.exists():
        return []
    told = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return [Measured(**{**each, "figure": Figure.of_json(each["figure"])}) for each in told]


def as_json(measured: Sequence[Measured], machine: dict[str, Any]) -> str:
    """All of it for a program."""
    figures = [{**asdict(each), "figure": each.figure.as_json()} for each in measured]
    return json.dumps({**machine, "figures": figures}, indent=1) + "\n"
