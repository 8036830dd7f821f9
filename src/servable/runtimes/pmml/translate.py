"""A whole document: from its bytes to inputs, outputs, and what answers a batch."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Mapping, Sequence

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import CorruptModel
from servable.runtimes.classes import LABEL, PREDICTION, PROBABILITIES, SCORES
from servable.runtimes.pmml import model as models
from servable.runtimes.pmml.bayes import naive_bayes
from servable.runtimes.pmml.clustering import clustering_model
from servable.runtimes.pmml.document import Element, parse, unsupported
from servable.runtimes.pmml.expressions import add_derived
from servable.runtimes.pmml.fields import DataField, active, dictionary, refuses, target
from servable.runtimes.pmml.mining import mining_model
from servable.runtimes.pmml.neighbors import neighbor_model
from servable.runtimes.pmml.network import neural_network
from servable.runtimes.pmml.regression import general_regression, regression_model
from servable.runtimes.pmml.rules import rule_set
from servable.runtimes.pmml.scorecard import scorecard
from servable.runtimes.pmml.trees import tree_model
from servable.runtimes.pmml.values import TEXT, Call, Floats, Names, Scope, Texts
from servable.runtimes.pmml.vectors import vector_model

models.TRANSLATORS.update(
    TreeModel=tree_model,
    RegressionModel=regression_model,
    GeneralRegressionModel=general_regression,
    MiningModel=mining_model,
    Scorecard=scorecard,
    ClusteringModel=clustering_model,
    NaiveBayesModel=naive_bayes,
    SupportVectorMachineModel=vector_model,
    NeuralNetwork=neural_network,
    NearestNeighborModel=neighbor_model,
    RuleSetModel=rule_set,
)

Answer = Callable[[Mapping[str, Array], int], dict[str, Array]]


class Document(msgspec.Struct, frozen=True):
    """A translated document. `answer` takes the columns of a batch by the names of `inputs`, and the number of rows."""

    version: str
    made_by: dict[str, str]
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    answer: Answer


def translate(data: bytes, name: str) -> Document:
    """Read and translate. Raises CorruptModel, UnsafeModel, and IncompatibleModel that names what is not supported."""
    try:
        return _document(parse(data, name), name)
    except RecursionError as error:
        raise CorruptModel(f"{name!r} has elements too deep inside each other") from error
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, MemoryError) as error:
        raise CorruptModel(f"{name!r} is not consistent PMML: {error.args[0] if error.args else error!r}") from error


def _document(root: Element, name: str) -> Document:
    version = root.get("version")
    if not version.startswith("4"):
        raise unsupported(root, f"{name!r} is PMML {version or 'without a version'}; 4.0 to 4.4 are read")
    model = root.first(*models.MODELS)
    if model is None:
        raise CorruptModel(
            f"{name!r} holds no model: it has {', '.join(each.tag for each in root.children) or 'nothing'}"
        )
    texts = Texts()
    names = Names(texts)
    fields = dictionary(root)
    names.kinds.update({each.name: each.kind for each in fields.values()})
    names.singles.update(each.name for each in fields.values() if each.data_type == "float")
    inputs = [fields[mining.must("name")] for mining in active(model) if mining.must("name") in fields]
    add_derived(root.first("TransformationDictionary"), names)
    built = models.build(model, names, fields, None)
    limited = {mining.must("name"): refuses(mining) for mining in active(model)}
    predicted = target(model)
    signature = Signature(
        tuple(each.input(limited=limited[each.name]) for each in inputs),
        tuple(_outputs(built, fields.get(predicted or ""))),
    )
    answer = _answer(built, inputs, names)
    answer(signature.example().columns, 1)  # what does not fit together shows here, not at the first request
    return Document(version, _made_by(root), signature.inputs, signature.outputs, answer)


def _made_by(root: Element) -> dict[str, str]:
    header = root.first("Header")
    maker = header.first("Application") if header else None
    return {maker.get("name"): maker.get("version")} if maker and maker.get("name") and maker.get("version") else {}


def _whole(data: DataField | None) -> bool:
    return data is not None and data.data_type == "integer"


def _outputs(built: models.Built, predicted: DataField | None) -> list[Field]:
    shape = built.shape
    fields = []
    if shape.function == "regression":
        fields.append(Field(PREDICTION, "FP64", values="any"))
    else:
        fields.append(
            Field(LABEL, "BYTES", values="missing") if shape.kind == TEXT else _label(shape.classes, predicted)
        )
        scores = PROBABILITIES if shape.scored and shape.function == "classification" else SCORES
        if shape.classes:
            fields.append(Field(scores, "FP64", (-1, len(shape.classes)), features=shape.classes, values="any"))
    taken = {field.name for field in fields}
    for name, kind in _more(built):
        if name not in taken:
            datatype, values = ("BYTES", "missing") if kind == TEXT else ("FP64", "any")
            fields.append(Field(name, datatype, values=values))  # type: ignore[arg-type]
    return fields


def _more(built: models.Built) -> ItemsView[str, str]:
    """Names and kinds of the output fields that are shown."""
    own = {output.name: output.kind for output in built.outputs if output.final}
    return {**dict(built.shape.more), **own}.items()


def _label(classes: Sequence[str], predicted: DataField | None) -> Field:
    """A label that is a number: it may be missing, so it is a float."""
    return Field(LABEL, "FP64", values="any") if classes or predicted else Field(LABEL, "BYTES", values="missing")


def _answer(built: models.Built, inputs: Sequence[DataField], names: Names) -> Answer:
    shape = built.shape
    scores_name = PROBABILITIES if shape.scored and shape.function == "classification" else SCORES
    value_name = PREDICTION if shape.function == "regression" else LABEL
    shown = [(name, kind) for name, kind in _more(built) if name not in {value_name, scores_name}]
    texts = [each.name for each in inputs if each.kind == TEXT]
    numbers = tuple(each.name for each in inputs if each.kind != TEXT)

    def answer(columns: Mapping[str, Array], rows: int) -> dict[str, Array]:
        together = np.empty((0, rows))
        if numbers:
            flat = np.concatenate([columns[name] for name in numbers], axis=None, dtype=np.float64, casting="unsafe")
            together = flat.reshape(len(numbers), rows)
        call = Call(names.texts, rows, numbers, together)
        taken = {name: call.encode(columns[name].reshape(rows).tolist()) for name in texts}
        taken.update(zip(numbers, together, strict=True))
        scope = Scope(call, taken, dict(names.derived), None)
        with np.errstate(all="ignore"):
            result, more = built.answer(scope)
        out = {value_name: _shown(call, result.value, shape.kind)}
        if shape.classes and shape.function != "regression":
            scores = result.scores if result.scores is not None else np.full((rows, len(shape.classes)), np.nan)
            out[scores_name] = scores if call.invalid is None else np.where(call.invalid[:, None], np.nan, scores)
        for name, kind in shown:
            out[name] = _shown(call, more[name], kind)
        return out

    return answer


def _shown(call: Call, column: Floats, kind: str) -> Array:
    """A column as clients see it, missing where the row is invalid."""
    values = column if call.invalid is None else np.where(call.invalid, np.nan, column)
    if kind != TEXT:
        return values
    out = np.empty(len(values), object)
    out[:] = call.decode(values)
    return out
