"""<NeuralNetwork>: layers of weighted sums and their activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.expressions import derive, piecewise
from servable.runtimes.pmml.regression import softmax
from servable.runtimes.pmml.result import Result, Shape, elected
from servable.runtimes.pmml.values import Floats, Names, Scope

ACTIVATIONS: Final[dict[str, Callable[[Floats], Any]]] = {
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "identity": lambda z: z,
    "exponential": np.exp,
    "reciprocal": lambda z: 1 / z,
    "square": lambda z: z * z,
    "Gauss": lambda z: np.exp(-(z * z)),
    "sine": np.sin,
    "cosine": np.cos,
    "Elliott": lambda z: z / (1 + np.abs(z)),
    "arctan": lambda z: 2 * np.arctan(z) / np.pi,
    "rectifier": lambda z: np.maximum(z, 0),
}

Layer = Callable[[Floats], Floats]


def neural_network(model: Element, names: Names, shape: Shape) -> tuple[Callable[[Scope], Result], Shape]:
    """Each layer sees every neuron before it, as the file's connections say."""
    inputs = list(model.need("NeuralInputs").all("NeuralInput"))
    rules = [derive(each.need("DerivedField"), names)[0] for each in inputs]
    places = {each.must("id"): at for at, each in enumerate(inputs)}
    layers = []
    for element in model.all("NeuralLayer"):
        layers.append(_layer(element, model, places))
        for neuron in element.all("Neuron"):
            places[neuron.must("id")] = len(places)
    finish = _outputs(model, shape, places)

    def run(scope: Scope) -> Result:
        values = np.stack([rule(scope) for rule in rules], axis=1)
        with np.errstate(all="ignore"):
            for layer in layers:
                values = np.concatenate([values, layer(values)], axis=1)
        return finish(values)

    return run, shape


def _layer(element: Element, model: Element, places: dict[str, int]) -> Layer:
    neurons = list(element.all("Neuron"))
    weights = np.zeros((len(places), len(neurons)))
    bias = np.array([neuron.number("bias", 0.0) for neuron in neurons])
    for at, neuron in enumerate(neurons):
        for connection in neuron.all("Con"):
            source = connection.must("from")
            if source not in places:
                raise CorruptModel(f"{connection}: there is no neuron {source!r} before this layer")
            weights[places[source], at] = connection.number("weight")
    name = element.get("activationFunction") or model.must("activationFunction")
    norm = element.get("normalizationMethod") or model.get("normalizationMethod", "none")
    if name == "threshold":
        limit = element.number("threshold", model.number("threshold", 0.0))
        activate: Callable[[Floats], Any] = lambda z: (z > limit).astype(np.float64)  # noqa: E731 - one of a table's
    elif name in ACTIVATIONS:
        activate = ACTIVATIONS[name]
    else:
        raise unsupported(element, f"the activation function {name!r}")
    if norm not in {"none", "softmax", "simplemax"}:
        raise unsupported(element, f"normalizationMethod {norm!r}")

    def apply(values: Floats) -> Floats:
        out = np.asarray(activate(values @ weights + bias), np.float64)
        if norm == "softmax":
            return softmax(out)
        return out / out.sum(axis=1, keepdims=True) if norm == "simplemax" else out

    return apply


def _outputs(model: Element, shape: Shape, places: dict[str, int]) -> Callable[[Floats], Result]:
    found = []
    for each in model.need("NeuralOutputs").all("NeuralOutput"):
        neuron = each.must("outputNeuron")
        if neuron not in places:
            raise CorruptModel(f"{each}: there is no neuron {neuron!r}")
        found.append((places[neuron], each.need("DerivedField").need("NormDiscrete", "NormContinuous", "FieldRef")))
    if shape.function == "regression":
        (place, element), *others = found
        if others:
            raise unsupported(model, "several numbers at once")
        undo = _inverse(element)
        return lambda values: Result(undo(values[:, place]))
    order = []
    for place, element in found:
        if element.tag != "NormDiscrete" or element.must("value") not in shape.classes:
            raise CorruptModel(f"{element}: expected one of the target's values, {', '.join(shape.classes)}")
        order.append((shape.classes.index(element.must("value")), place))
    if sorted(at for at, _ in order) != list(range(len(shape.classes))):
        raise unsupported(model, "outputs for some of the classes only")
    columns = [place for _, place in sorted(order)]
    return lambda values: elected(shape, values[:, columns])


def _inverse(element: Element) -> Callable[[Floats], Floats]:
    """From the scale of the network back to that of the target."""
    if element.tag != "NormContinuous":
        return lambda column: column
    points = sorted((each.number("norm"), each.number("orig")) for each in element.all("LinearNorm"))
    return piecewise(points, element.get("outliers", "asIs"))
