"""<SupportVectorMachineModel>: kernels between rows and support vectors, for a number or for votes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, numbers, unsupported
from servable.runtimes.pmml.expressions import field
from servable.runtimes.pmml.result import Result, Shape, elected
from servable.runtimes.pmml.values import Evaluate, Floats, Names, Scope

KERNELS = ("LinearKernelType", "PolynomialKernelType", "RadialBasisKernelType", "SigmoidKernelType")


class Machine(msgspec.Struct, frozen=True):
    """One machine: the vectors it uses and their coefficients, or one coefficient a field; whom it decides between."""

    use: Array | None
    coefficients: Floats
    offset: float
    target: str
    other: str
    threshold: float


def vector_model(model: Element, names: Names, shape: Shape) -> tuple[Callable[[Scope], Result], Shape]:
    """Machines for one number, for each class against the rest, or for each pair of classes."""
    space = model.need("VectorDictionary")
    rules = [_axis(each, names) for each in space.need("VectorFields").children if each.tag != "Extension"]
    places, vectors = _vectors(space, len(rules))
    default = model.number("threshold", 0.0)
    by_field = model.get("svmRepresentation", "SupportVectors") == "Coefficients"
    machines = [_machine(each, places, default, by_field) for each in model.all("SupportVectorMachine")]
    kernel = _kernel(model.need(*KERNELS))

    def sums(scope: Scope) -> Floats:
        rows = np.stack([rule(scope) for rule in rules], axis=1)
        if by_field:
            return np.stack([rows @ machine.coefficients + machine.offset for machine in machines], axis=1)
        near = kernel(rows, vectors)
        return np.stack([near[:, each.use] @ each.coefficients + each.offset for each in machines], axis=1)

    if shape.function == "regression":
        if len(machines) != 1:
            raise CorruptModel(f"{model}: a regression has one machine, this one has {len(machines)}")
        return (lambda scope: Result(sums(scope)[:, 0])), shape
    if model.get("classificationMethod", "OneAgainstAll") == "OneAgainstOne" or any(each.other for each in machines):
        return (lambda scope: _pairs(sums(scope), machines, shape)), shape
    sign = 1.0 if model.flag("maxWins") else -1.0
    order = [_place(shape, each.target, model) for each in machines]
    if sorted(order) != list(range(len(shape.classes))):
        raise unsupported(model, "machines for some of the classes only")

    def vote(scope: Scope) -> Result:
        found = np.empty((scope.rows, len(order)))
        found[:, order] = sums(scope)
        result = elected(shape, sign * found)
        result.scores = found
        return result

    return vote, Shape(shape.function, shape.kind, shape.classes, shape.codes, scored=False)


def _pairs(sums: Floats, machines: list[Machine], shape: Shape) -> Result:
    votes = np.zeros((len(sums), len(shape.classes)))
    for at, machine in enumerate(machines):
        first = sums[:, at] < machine.threshold
        names = (machine.target, machine.other)
        for label, chosen in zip(names, (first, ~first), strict=True):
            votes[:, shape.classes.index(label)] += chosen
    votes[np.isnan(sums).any(axis=1)] = np.nan
    return elected(shape, votes / len(machines))


def _place(shape: Shape, label: str, where: Element) -> int:
    if label not in shape.classes:
        raise CorruptModel(f"{where}: {label!r} is not one of the target's values: {', '.join(shape.classes)}")
    return shape.classes.index(label)


def _axis(element: Element, names: Names) -> Evaluate:
    if element.tag == "FieldRef":
        return field(element.must("field"), names, element)[0]
    if element.tag == "CategoricalPredictor":
        rule, kind = field(element.must("name"), names, element)
        value, size = names.literal(element.must("value"), kind, element), element.number("coefficient", 1.0)

        def one(scope: Scope) -> Floats:
            return np.where(rule(scope) == value, size, 0.0)

        return one
    raise unsupported(element)


def _vectors(space: Element, fields: int) -> tuple[dict[str, int], Floats]:
    instances = list(space.all("VectorInstance"))
    rows = [numbers(each.need("Array", "REAL-SparseArray")) for each in instances]
    if any(len(row) != fields for row in rows):
        raise CorruptModel(f"{space}: every <VectorInstance> needs {fields} numbers, one for each vector field")
    places = {each.must("id"): at for at, each in enumerate(instances)}
    return places, np.array(rows, np.float64).reshape(-1, fields)


def _machine(element: Element, places: dict[str, int], default: float, by_field: bool) -> Machine:
    part = element.need("Coefficients")
    coefficients = np.array([each.number("value", 0.0) for each in part.all("Coefficient")])
    use = None
    if not by_field:
        names = [each.must("vectorId") for each in element.need("SupportVectors").all("SupportVector")]
        if len(names) != len(coefficients) or any(name not in places for name in names):
            raise CorruptModel(f"{element}: the support vectors and their coefficients do not match")
        use = np.array([places[name] for name in names], np.intp)
    return Machine(
        use, coefficients, part.number("absoluteValue", 0.0), element.get("targetCategory"),
        element.get("alternateTargetCategory"), element.number("threshold", default),
    )  # fmt: skip


def _kernel(element: Element) -> Callable[[Floats, Floats], Floats]:
    gamma, coef0 = element.number("gamma", 1.0), element.number("coef0", 1.0)
    if element.tag == "LinearKernelType":
        return lambda rows, vectors: rows @ vectors.T
    if element.tag == "PolynomialKernelType":
        degree = element.number("degree", 1.0)
        return lambda rows, vectors: (gamma * (rows @ vectors.T) + coef0) ** degree
    if element.tag == "SigmoidKernelType":
        return lambda rows, vectors: np.tanh(gamma * (rows @ vectors.T) + coef0)

    def radial(rows: Floats, vectors: Floats) -> Floats:
        squares = (rows**2).sum(axis=1)[:, None] + (vectors**2).sum(axis=1)[None, :] - 2 * rows @ vectors.T
        return np.asarray(np.exp(-gamma * np.maximum(squares, 0.0)), np.float64)

    return radial
