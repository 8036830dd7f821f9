"""<DataDictionary> and <MiningSchema>: what the inputs are, and what becomes of missing, invalid and extreme values."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from servable.domain.field import Field
from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.expressions import interval
from servable.runtimes.pmml.values import BOOLEAN, NUMBER, TEXT, Floats, Names, Scope, kind_of

Treat = Callable[[Floats, Scope], Floats]


class DataField(msgspec.Struct, frozen=True):
    """A field of the dictionary. `values` are the valid ones, as written; empty where any is."""

    name: str
    kind: str
    data_type: str
    categorical: bool
    values: tuple[str, ...]
    absent: tuple[str, ...]
    """Values that stand for a missing one."""
    invalid: tuple[str, ...]
    element: Element

    def input(self, *, limited: bool) -> Field:
        """The field that clients see. `limited`: a value that is not among the valid ones is refused at the door."""
        if self.kind == TEXT:
            dated = "date" if self.data_type in {"date", "dateTime"} else ""
            known = (*self.values, *self.absent) if limited and self.values else ()
            return Field(self.name, "BYTES", values="missing", categories=known, content=dated)  # type: ignore[arg-type]
        if self.kind == BOOLEAN:
            return Field(self.name, "BOOL")
        return Field(self.name, "FP32" if self.data_type == "float" else "FP64", values="missing")


def dictionary(root: Element) -> dict[str, DataField]:
    """The fields of the <DataDictionary>."""
    found = {}
    for element in root.need("DataDictionary").all("DataField"):
        if element.get("isCyclic", "0") not in {"0", ""}:
            raise unsupported(element, "a cyclic field")
        values: dict[str, list[str]] = {"valid": [], "invalid": [], "missing": []}
        for value in element.all("Value"):
            values.setdefault(value.get("property", "valid"), []).append(value.must("value"))
        data_type = element.must("dataType")
        if (data_type.startswith(("date", "time")) and "[" in data_type) or data_type.startswith("timeSeconds"):
            raise unsupported(element, f"the data type {data_type!r}")
        found[element.must("name")] = DataField(
            element.must("name"),
            kind_of(data_type),
            data_type,
            element.get("optype") in {"categorical", "ordinal"},
            tuple(values["valid"]),
            tuple(values["missing"]),
            tuple(values["invalid"]),
            element,
        )
    return found


def active(model: Element) -> list[Element]:
    """The mining fields that a model takes in."""
    fields = model.need("MiningSchema").all("MiningField")
    return [field for field in fields if field.get("usageType", "active") == "active"]


def target(model: Element) -> str | None:
    """The name of the field that a model predicts."""
    fields = model.need("MiningSchema").all("MiningField")
    return next((field.must("name") for field in fields if field.get("usageType") in {"target", "predicted"}), None)


def refuses(mining: Element) -> bool:
    """Whether an invalid value makes the result invalid."""
    return mining.get("invalidValueTreatment", "returnInvalid") == "returnInvalid"


def treatment(mining: Element, data: DataField | None, names: Names) -> Treat | None:
    """What a <MiningField> does to its column; None where it changes nothing.

    `data` is None in a nested model, whose fields were judged outside.
    """
    steps: list[Treat] = []
    kind = data.kind if data else names.kind(mining.must("name"))
    if kind is None:
        raise CorruptModel(f"{mining} names a field {mining.must('name')!r}, which is not there")
    if data is not None:
        steps.extend(_validity(mining, data, names))
    if mining.get("outliers", "asIs") != "asIs":
        steps.append(_outliers(mining))
    if mining.get("missingValueTreatment") == "returnInvalid":
        steps.append(_no_gaps)
    elif "missingValueReplacement" in mining.attributes:
        steps.append(_filled(names.literal(mining.must("missingValueReplacement"), kind, mining)))
    if not steps:
        return None

    def treat(column: Floats, scope: Scope) -> Floats:
        for step in steps:
            column = step(column, scope)
        return column

    return treat


def _no_gaps(column: Floats, scope: Scope) -> Floats:
    scope.call.refuse(np.isnan(column))
    return column


def _filled(value: float) -> Treat:
    return lambda column, _: np.where(np.isnan(column), value, column)


def _outliers(mining: Element) -> Treat:
    low, high = mining.number("lowValue", -np.inf), mining.number("highValue", np.inf)
    if mining.get("outliers") == "asExtremeValues":
        return lambda column, _: np.clip(column, low, high)
    return lambda column, _: np.where((column < low) | (column > high), np.nan, column)


def _validity(mining: Element, data: DataField, names: Names) -> list[Treat]:
    steps: list[Treat] = []
    if data.absent:
        gone = [names.literal(value, data.kind, data.element) for value in data.absent]
        steps.append(lambda column, _: np.where(np.isin(column, gone), np.nan, column))
    valid = [names.literal(value, data.kind, data.element) for value in data.values]
    wrong = [names.literal(value, data.kind, data.element) for value in data.invalid]
    ranges = [interval(each) for each in data.element.all("Interval")] if data.kind == NUMBER else []
    if not ((valid and data.categorical) or wrong or ranges):
        return steps
    treatment = mining.get("invalidValueTreatment", "returnInvalid")
    if treatment == "asIs":
        return steps
    value = np.nan
    if treatment == "asValue":
        value = names.literal(mining.must("invalidValueReplacement"), data.kind, mining)
    elif treatment not in {"returnInvalid", "asMissing"}:
        raise CorruptModel(f"{mining}: there is no invalidValueTreatment {treatment!r}")

    def judge(column: Floats, scope: Scope) -> Floats:
        good = np.ones(len(column), bool)
        if valid and data.categorical:
            good &= np.isin(column, valid)
        if ranges:
            good &= np.any([inside(column) for inside in ranges], axis=0)
        bad = ~good | np.isin(column, wrong) if wrong else ~good
        bad &= ~np.isnan(column)
        if treatment == "returnInvalid":
            scope.call.refuse(bad)
        return np.where(bad, value, column)

    return [*steps, judge]
