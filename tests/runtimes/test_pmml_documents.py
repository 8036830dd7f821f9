"""PMML by the letter: what each element means, in small documents; and what is refused."""

import numpy as np
import pytest

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, CorruptModel, IncompatibleModel, UnknownFormat, UnsafeModel
from servable.runtimes.find import recognise, runtime

NAN = np.nan
DATA = """
<DataField name="x" optype="continuous" dataType="double"/><DataField name="z" optype="continuous" dataType="double"/>
<DataField name="c" optype="categorical" dataType="string"><Value value="red"/><Value value="blue"/></DataField>
<DataField name="y" optype="{optype}" dataType="{kind}">{values}</DataField>"""
SCHEMA = """<MiningSchema><MiningField name="y" usageType="target"/><MiningField name="x"/><MiningField name="z"/>
<MiningField name="c"/></MiningSchema>"""


def document(model, labels=(), before="", data="", version="4.4"):
    values = "".join(f'<Value value="{label}"/>' for label in labels)
    optype, kind = ("categorical", "string") if labels else ("continuous", "double")
    fields = DATA.format(optype=optype, kind=kind, values=values) + data
    return (
        f'<?xml version="1.0"?><PMML xmlns="http://www.dmg.org/PMML-4_4" version="{version}"><Header/>'
        f"<DataDictionary>{fields}</DataDictionary>{before}{model.replace('SCHEMA', SCHEMA)}</PMML>"
    )


@pytest.fixture
def load(tmp_path):
    def loader(model, labels=(), **more):
        path = tmp_path / "model.pmml"
        path.write_text(document(model, labels, **more))
        bundle = open_bundle(path)
        return bundle, runtime("pmml").load(bundle)

    return loader


@pytest.fixture
def ask(load):
    """Answers to rows of x, z and c."""

    def asker(model, labels=(), x=(), z=None, c=None, more=None, **rest):
        _, loaded = load(model, labels, **rest)
        columns = {
            "x": np.array(x, float),
            "z": np.array(z if z is not None else [0.0] * len(x), float),
            "c": np.array(c if c is not None else ["red"] * len(x), object),
            **(more or {}),
        }
        return loaded.predict(Batch(columns, len(x)))

    return asker


def regression(fields="", transformations="", terms='<NumericPredictor name="x" coefficient="1"/>', targets=""):
    schema = SCHEMA if not fields else f"<MiningSchema>{fields}</MiningSchema>"
    return (
        f'<RegressionModel functionName="regression">{schema}{targets}'
        f"<LocalTransformations>{transformations}</LocalTransformations>"
        f'<RegressionTable intercept="0">{terms}</RegressionTable></RegressionModel>'
    )


def derived(expression, data_type="double", optype="continuous"):
    return f'<DerivedField name="d" optype="{optype}" dataType="{data_type}">{expression}</DerivedField>'


D = '<NumericPredictor name="d" coefficient="1"/>'


def test_terms_of_a_regression(ask):
    terms = """<NumericPredictor name="x" coefficient="2" exponent="2"/>
    <CategoricalPredictor name="c" value="blue" coefficient="100"/>
    <PredictorTerm coefficient="3"><FieldRef field="x"/><FieldRef field="z"/></PredictorTerm>"""
    found = ask(regression(terms=terms), x=[2, 2, 2, NAN], z=[1, 1, 1, 1], c=["red", "blue", None, "red"])
    np.testing.assert_array_equal(found["prediction"], [14, 114, 14, NAN])


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", [1, NAN, 50]),
        ('missingValueReplacement="7"', [1, 7, 50]),
        ('outliers="asExtremeValues" lowValue="2" highValue="9"', [2, NAN, 9]),
        ('outliers="asMissingValues" lowValue="0" highValue="9" missingValueReplacement="4"', [1, 4, 4]),
        ('missingValueTreatment="returnInvalid"', [1, NAN, 50]),
    ],
)
def test_treatments_of_numbers(ask, attributes, expected):
    fields = f'<MiningField name="y" usageType="target"/><MiningField name="x" {attributes}/>'
    np.testing.assert_array_equal(ask(regression(fields), x=[1, NAN, 50])["prediction"], expected)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", [10, NAN]),
        ('invalidValueTreatment="asIs"', [10, 0]),
        ('invalidValueTreatment="asMissing" missingValueReplacement="blue"', [10, 20]),
        ('invalidValueTreatment="asValue" invalidValueReplacement="blue"', [10, 20]),
    ],
)
def test_treatments_of_values_that_are_not_valid(ask, attributes, expected):
    fields = f'<MiningField name="y" usageType="target"/><MiningField name="c" {attributes}/>'
    terms = """<CategoricalPredictor name="c" value="red" coefficient="10"/>
    <CategoricalPredictor name="c" value="blue" coefficient="20"/>"""
    found = ask(regression(fields, terms=terms), x=[0, 0], c=["red", "green"])
    np.testing.assert_array_equal(found["prediction"], expected)


def test_a_value_that_is_not_valid_is_refused_at_the_door(load):
    bundle, _ = load(regression())
    batch = Batch({"x": np.zeros(1), "z": np.zeros(1), "c": np.array(["green"], object)})
    (fault,) = bundle.signature.check(batch)
    assert "one of red, blue" in str(fault)


def test_intervals_and_values_that_stand_for_missing(ask):
    data = """<DataField name="w" optype="continuous" dataType="double"><Interval closure="openClosed" leftMargin="0"
    rightMargin="10"/><Value value="-999" property="missing"/></DataField>"""
    fields = '<MiningField name="y" usageType="target"/><MiningField name="w" missingValueReplacement="5"/>'
    terms = '<NumericPredictor name="w" coefficient="1"/>'
    found = ask(
        regression(fields, terms=terms), x=[0] * 5, data=data, more={"w": np.array([1.0, 10.0, 0.0, -999.0, 11.0])}
    )
    np.testing.assert_array_equal(found["prediction"], [1, 10, NAN, 5, NAN])


EXPRESSIONS = [
    ('<NormContinuous field="x"><LinearNorm orig="0" norm="0"/><LinearNorm orig="10" norm="1"/></NormContinuous>',
     [-5, 5, 20, NAN], [-0.5, 0.5, 2, NAN]),
    (('<NormContinuous field="x" outliers="asExtremeValues" mapMissingTo="9"><LinearNorm orig="0" norm="0"/>'
     '<LinearNorm orig="10" norm="1"/></NormContinuous>'), [-5, 5, 20, NAN], [0, 0.5, 1, 9]),
    (('<NormContinuous field="x" outliers="asMissingValues"><LinearNorm orig="0" norm="0"/>'
     '<LinearNorm orig="1" norm="5"/><LinearNorm orig="3" norm="6"/></NormContinuous>'), [0.5, 2, 4], [2.5, 5.5, NAN]),
    (('<Discretize field="x" defaultValue="-1" mapMissingTo="-2"><DiscretizeBin binValue="1"><Interval '
     'closure="closedOpen" leftMargin="0" rightMargin="5"/></DiscretizeBin>'
     '<DiscretizeBin binValue="2"><Interval closure="closedClosed" '
     'leftMargin="5"/></DiscretizeBin></Discretize>'), [0, 4.9, 5, -3, NAN], [1, 1, 2, -1, -2]),
    (('<Apply function="if"><Apply function="greaterThan"><FieldRef field="x"/><Constant>3</Constant></Apply>'
     '<Constant>1</Constant><Constant>0</Constant></Apply>'), [2, 4, NAN], [0, 1, NAN]),
    ('<Apply function="+" defaultValue="-1"><FieldRef field="x"/><Constant>3</Constant></Apply>', [2, NAN], [5, -1]),
    ('<Apply function="+" mapMissingTo="-1"><FieldRef field="x"/><Constant>3</Constant></Apply>', [2, NAN], [5, -1]),
    ('<Apply function="max"><FieldRef field="x"/><Constant>3</Constant></Apply>', [2, 8, NAN], [3, 8, 3]),
    ('<Apply function="isMissing"><FieldRef field="x"/></Apply>', [2, NAN], [0, 1]),
    (('<Apply function="and"><Apply function="isNotMissing"><FieldRef field="x"/></Apply><Apply function="lessThan">'
     '<FieldRef field="x"/><Constant>3</Constant></Apply></Apply>'), [2, 4, NAN], [1, 0, 0]),
    ('<Apply function="round"><Apply function="/"><FieldRef field="x"/><Constant>2</Constant></Apply></Apply>',
     [5, 6], [3, 3]),
    ('<Apply function="pow"><FieldRef field="x"/><Constant>3</Constant></Apply>', [2, -2], [8, -8]),
    ('<Apply function="threshold"><FieldRef field="x"/><Constant>3</Constant></Apply>', [2, 4], [0, 1]),
    ('<Apply function="isIn"><FieldRef field="x"/><Constant>3</Constant><Constant>4</Constant></Apply>',
     [2, 4], [0, 1]),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "x", "expected"), EXPRESSIONS)
def test_expressions(ask, expression, x, expected):
    found = ask(regression(transformations=derived(expression), terms=D), x=x)
    np.testing.assert_allclose(found["prediction"], expected)


def test_expressions_of_text(ask):
    mapped = """<MapValues outputColumn="out" defaultValue="-1" mapMissingTo="-2"><FieldColumnPair
    field="c" column="in"/><InlineTable><row><in>red</in><out>5</out></row>
    <row><in>blue</in><out>6</out></row></InlineTable></MapValues>"""
    fields = """<MiningField name="y" usageType="target"/><MiningField name="c" invalidValueTreatment="asIs"/>"""
    found = ask(regression(fields, derived(mapped), D), x=[0] * 4, c=["red", "blue", "green", None])
    np.testing.assert_array_equal(found["prediction"], [5, 6, -1, -2])
    upper = """<Apply function="equal"><Apply function="uppercase"><Apply function="substring"><FieldRef field="c"/>
    <Constant dataType="integer">1</Constant><Constant dataType="integer">2</Constant></Apply></Apply>
    <Constant dataType="string">GR</Constant></Apply>"""
    found = ask(regression(fields, derived(upper), D), x=[0] * 3, c=["red", "green", None])
    np.testing.assert_array_equal(found["prediction"], [0, 1, NAN])
    norm = '<NormDiscrete field="c" value="blue" mapMissingTo="0.5"/>'
    found = ask(regression(fields, derived(norm), D), x=[0] * 3, c=["red", "blue", None])
    np.testing.assert_array_equal(found["prediction"], [0, 1, 0.5])


def test_functions_of_the_document(ask):
    dictionary = """<TransformationDictionary><DefineFunction name="twice" optype="continuous">
    <ParameterField name="p"/><Apply function="*"><FieldRef field="p"/><Constant>2</Constant></Apply></DefineFunction>
    <DerivedField name="d" optype="continuous" dataType="double"><Apply function="twice"><FieldRef field="x"/></Apply>
    </DerivedField></TransformationDictionary>"""
    np.testing.assert_array_equal(ask(regression(terms=D), x=[1, NAN], before=dictionary)["prediction"], [2, NAN])


def test_targets(ask):
    targets = """<Targets><Target field="y" min="0" max="10" rescaleFactor="2" rescaleConstant="1" castInteger="round">
    <TargetValue defaultValue="42"/></Target></Targets>"""
    found = ask(regression(targets=targets), x=[-5, 3.2, 50, NAN])
    np.testing.assert_array_equal(found["prediction"], [1, 7, 21, 42])


def tree(strategy, more="", distribution=True):
    def counts(a, b):
        return (
            f'<ScoreDistribution value="a" recordCount="{a}"/><ScoreDistribution value="b" recordCount="{b}"/>'
            if distribution
            else ""
        )

    return f"""<TreeModel functionName="classification" missingValueStrategy="{strategy}" {more}>SCHEMA
    <Node id="0" score="a" defaultChild="2"><True/>{counts(6, 4)}
      <Node id="1" score="a"><SimplePredicate field="x" operator="lessThan" value="3"/>{counts(9, 1)}</Node>
      <Node id="2" score="b"><SimplePredicate field="x" operator="greaterOrEqual" value="3"/>{counts(2, 8)}
        <Node id="3" score="a"><SimpleSetPredicate field="c" booleanOperator="isIn"><Array type="string"
        n="1">blue</Array></SimpleSetPredicate>{counts(7, 3)}</Node>
      </Node>
    </Node></TreeModel>"""


@pytest.mark.parametrize(
    ("strategy", "more", "expected"),
    [
        ("none", "", ["a", None, "a", None]),
        ("none", 'noTrueChildStrategy="returnLastPrediction"', ["a", "b", "a", "a"]),
        ("lastPrediction", "", ["a", None, "a", "a"]),
        ("nullPrediction", "", ["a", None, "a", None]),
        ("defaultChild", 'noTrueChildStrategy="returnLastPrediction"', ["a", "b", "a", "b"]),
    ],
)
def test_missing_values_in_trees(ask, strategy, more, expected):
    found = ask(tree(strategy, more), ("a", "b"), x=[1, 3, 5, NAN], c=["red", "red", "blue", "red"])
    assert found["label"].tolist() == expected
    for row, label in zip(found["probabilities"], expected, strict=True):
        assert np.isnan(row).all() == (label is None)


def test_compound_predicates_have_three_truths(ask):
    def node(operator):
        return f"""<TreeModel functionName="regression" noTrueChildStrategy="returnLastPrediction">SCHEMA
        <Node score="0"><True/><Node score="1"><CompoundPredicate booleanOperator="{operator}">
        <SimplePredicate field="x" operator="greaterThan" value="0"/>
        <SimplePredicate field="z" operator="greaterThan" value="0"/></CompoundPredicate></Node>
        </Node></TreeModel>"""

    x = [1, 1, 1, -1, -1, -1, NAN, NAN, NAN]
    z = [1, -1, NAN, 1, -1, NAN, 1, -1, NAN]
    for operator, expected in (
        ("and", [1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("or", [1, 1, 1, 1, 0, 0, 1, 0, 0]),
        ("xor", [0, 1, 0, 1, 0, 0, 0, 0, 0]),
        ("surrogate", [1, 1, 1, 0, 0, 0, 1, 0, 0]),
    ):
        found = ask(node(operator), x=x, z=z)
        np.testing.assert_array_equal(found["prediction"], expected, err_msg=operator)


def segments(method, weights=(1, 2, 1), predicates=("<True/>",) * 3, regressions=(1, 2, 6), more=""):
    parts = "".join(
        f"""<Segment weight="{weight}">{predicate}<RegressionModel functionName="regression"><MiningSchema>
        <MiningField name="x"/></MiningSchema><RegressionTable intercept="{value}"><NumericPredictor name="x"
        coefficient="1"/></RegressionTable></RegressionModel></Segment>"""
        for weight, predicate, value in zip(weights, predicates, regressions, strict=True)
    )
    return f"""<MiningModel functionName="regression">SCHEMA<Segmentation multipleModelMethod="{method}" {more}>{parts}
    </Segmentation></MiningModel>"""


@pytest.mark.parametrize(
    ("method", "expected"),
    [("sum", 9), ("average", 3), ("weightedAverage", 11 / 4), ("median", 2), ("max", 6), ("weightedSum", 11),
     ("selectFirst", 1)],
)  # fmt: skip
def test_joining_segments(ask, method, expected):
    found = ask(segments(method), x=[0, NAN])
    np.testing.assert_allclose(found["prediction"], [expected, NAN])


def test_segments_that_count_for_some_rows(ask):
    red = '<SimplePredicate field="c" operator="equal" value="red"/>'
    predicates = (red, "<True/>", "<False/>")
    for method, expected in (("selectFirst", [1, 2]), ("sum", [3, 2]), ("average", [1.5, 2])):
        found = ask(segments(method, predicates=predicates), x=[0, 0], c=["red", "blue"])
        np.testing.assert_allclose(found["prediction"], expected, err_msg=method)


def test_votes(ask):
    def voter(label, limit, weight):
        return f"""<Segment weight="{weight}"><True/><TreeModel functionName="classification">SCHEMA<Node><True/>
        <Node score="{label}"><SimplePredicate field="x" operator="lessThan" value="{limit}"/></Node>
        <Node score="b"><True/></Node></Node></TreeModel></Segment>"""

    parts = voter("a", 1, 1) + voter("a", 2, 1) + voter("a", 3, 5)
    for method, expected in (("majorityVote", [1, 2 / 3, 1 / 3]), ("weightedMajorityVote", [1, 6 / 7, 5 / 7])):
        model = f"""<MiningModel functionName="classification">SCHEMA<Segmentation multipleModelMethod="{method}">
        {parts}</Segmentation></MiningModel>"""
        found = ask(model, ("a", "b"), x=[0, 1.5, 2.5])
        np.testing.assert_allclose(found["probabilities"][:, 0], expected)


def test_a_scorecard_and_its_reasons(ask):
    model = """<Scorecard functionName="regression" initialScore="100" useReasonCodes="true" baselineScore="20"
    reasonCodeAlgorithm="pointsBelow">SCHEMA<Output><OutputField name="first" feature="reasonCode" rank="1"
    dataType="string" optype="categorical"/><OutputField name="second" feature="reasonCode" rank="2" dataType="string"
    optype="categorical"/></Output><Characteristics><Characteristic name="age" reasonCode="RA" baselineScore="30">
    <Attribute partialScore="5"><SimplePredicate field="x" operator="lessThan" value="30"/></Attribute>
    <Attribute partialScore="25"><SimplePredicate field="x" operator="greaterOrEqual" value="30"/></Attribute>
    <Attribute partialScore="1" reasonCode="RM"><SimplePredicate field="x" operator="isMissing"/></Attribute>
    </Characteristic><Characteristic name="colour" reasonCode="RC"><Attribute partialScore="10"><SimplePredicate
    field="c" operator="equal" value="red"/></Attribute><Attribute><True/><ComplexPartialScore><Apply function="*">
    <FieldRef field="z"/><Constant>2</Constant></Apply></ComplexPartialScore></Attribute></Characteristic>
    </Characteristics></Scorecard>"""
    found = ask(model, x=[20, 40, NAN], z=[1, 2, 3], c=["red", "blue", "blue"])
    np.testing.assert_array_equal(found["prediction"], [115, 129, 107])
    assert found["first"].tolist() == ["RA", "RC", "RM"]
    assert found["second"].tolist() == ["RC", "RA", "RC"]


@pytest.mark.parametrize(("criterion", "labels"), [("firstHit", ["a", "a", "b"]), ("weightedSum", ["a", "b", "b"])])
def test_rules(ask, criterion, labels):
    model = f"""<RuleSetModel functionName="classification">SCHEMA<RuleSet defaultScore="b" defaultConfidence="0.4">
    <RuleSelectionMethod criterion="{criterion}"/><SimpleRule score="a" weight="2" confidence="0.9"><SimplePredicate
    field="x" operator="lessThan" value="5"/></SimpleRule><CompoundRule><SimplePredicate field="x"
    operator="greaterThan" value="2"/><SimpleRule score="b"
    weight="3" confidence="0.6"><SimplePredicate field="c" operator="equal"
    value="red"/></SimpleRule></CompoundRule></RuleSet></RuleSetModel>"""
    found = ask(model, ("a", "b"), x=[1, 3, 9], c=["red", "red", "blue"])
    assert found["label"].tolist() == labels


def test_naive_bayes_of_counts(ask):
    model = """<NaiveBayesModel functionName="classification" threshold="0.001">SCHEMA<BayesInputs><BayesInput
    fieldName="c"><PairCounts value="red"><TargetValueCounts><TargetValueCount value="a" count="30"/><TargetValueCount
    value="b" count="0"/></TargetValueCounts></PairCounts><PairCounts value="blue"><TargetValueCounts><TargetValueCount
    value="a" count="10"/><TargetValueCount value="b" count="60"/></TargetValueCounts></PairCounts></BayesInput>
    </BayesInputs><BayesOutput fieldName="y"><TargetValueCounts><TargetValueCount value="a" count="40"/>
    <TargetValueCount value="b" count="60"/></TargetValueCounts></BayesOutput></NaiveBayesModel>"""
    found = ask(model, ("a", "b"), x=[0] * 3, c=["red", "blue", None])
    red, blue = 0.4 * 0.75 / (0.4 * 0.75 + 0.6 * 0.001), 0.4 * 0.25 / (0.4 * 0.25 + 0.6)
    np.testing.assert_allclose(found["probabilities"][:, 0], [red, blue, 0.4])


def test_general_regression(ask):
    model = """<GeneralRegressionModel functionName="regression" modelType="generalizedLinear" linkFunction="log">SCHEMA
    <ParameterList><Parameter name="p0"/><Parameter name="p1"/><Parameter name="p2"/></ParameterList><FactorList>
    <Predictor name="c"/></FactorList><CovariateList><Predictor name="x"/></CovariateList><PPMatrix><PPCell value="1"
    predictorName="x" parameterName="p1"/><PPCell value="blue" predictorName="c" parameterName="p2"/></PPMatrix>
    <ParamMatrix><PCell parameterName="p0" beta="1"/><PCell parameterName="p1" beta="0.5"/><PCell parameterName="p2"
    beta="-2"/></ParamMatrix></GeneralRegressionModel>"""
    found = ask(model, x=[2, 2, NAN], c=["red", "blue", "red"])
    np.testing.assert_allclose(found["prediction"], [np.exp(2), 1, NAN])


# ---- refused


def test_entities_are_refused_before_anything_is_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    path = tmp_path / "evil.pmml"
    plain = document(regression())
    for declaration in (
        f'<!DOCTYPE PMML [<!ENTITY e SYSTEM "{secret.as_uri()}">]>',
        '<!DOCTYPE PMML [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE PMML SYSTEM "http://127.0.0.1:9/evil.dtd">',
    ):
        path.write_text(plain.replace('<?xml version="1.0"?>', f'<?xml version="1.0"?>{declaration}'))
        with pytest.raises(UnsafeModel, match="document type or entities"):
            open_bundle(path)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ('<TimeSeriesModel functionName="timeSeries">SCHEMA</TimeSeriesModel>', "<TimeSeriesModel>"),
        ('<AssociationModel functionName="associationRules">SCHEMA</AssociationModel>', "<AssociationModel>"),
        (tree("weightedConfidence"), "weightedConfidence"),
        (regression(transformations=derived('<Lag field="x"/>'), terms=D), "<Lag>"),
        (
            regression(transformations=derived('<Apply function="sleep"><FieldRef field="x"/></Apply>'), terms=D),
            "sleep",
        ),
    ],
)
def test_what_is_not_translated_is_refused_by_name(load, model, named):
    with pytest.raises(IncompatibleModel, match="not supported") as refused:
        load(model, ("a", "b"))
    assert named in str(refused.value)
    assert "in line" in str(refused.value)


def test_broken_documents(tmp_path):
    whole = document(tree("none"), ("a", "b"))
    path = tmp_path / "broken.pmml"
    for cut in range(120, len(whole) - 10, 97):
        path.write_text(whole[:cut])
        with pytest.raises(CorruptModel, match="broken or cut off XML"):
            open_bundle(path)
    for wrong, reason in (
        (whole.replace('value="3"', 'value="three"'), "should be a number"),
        (whole.replace('field="x"', 'field="gone"'), "not there"),
        (whole.replace('<Node id="0" score="a" defaultChild="2"><True/>', "<Node>"), "expected a <True>"),
        (whole.replace('version="4.4"', 'version="2.0"'), "4.0 to 4.4"),
        (document("<X/>"), "holds no model"),
        (whole.replace("<Node ", "<Node><True/>" * 300 + "<Node ", 1), "deep"),
    ):
        path.write_text(wrong)
        with pytest.raises(BundleError, match=reason):
            open_bundle(path)


def test_a_field_that_the_schema_leaves_out(load):
    fields = '<MiningField name="y" usageType="target"/><MiningField name="z"/>'
    with pytest.raises(CorruptModel, match="the field 'x' is used, and no <MiningSchema> takes it in"):
        load(regression(fields))


def test_a_sparse_array_as_large_as_the_file_says(load):
    model = """<SupportVectorMachineModel functionName="regression">SCHEMA<LinearKernelType/>
    <VectorDictionary><VectorFields><FieldRef field="x"/></VectorFields><VectorInstance id="1"><REAL-SparseArray
    n="999999999999"/></VectorInstance></VectorDictionary><SupportVectorMachine><SupportVectors><SupportVector
    vectorId="1"/></SupportVectors><Coefficients><Coefficient value="1"/></Coefficients></SupportVectorMachine>
    </SupportVectorMachineModel>"""
    with pytest.raises(CorruptModel, match="999999999999 entries"):
        load(model)


def test_another_encoding(tmp_path):
    path = tmp_path / "wide.pmml"
    path.write_bytes(document(regression()).replace('"1.0"', '"1.0" encoding="UTF-16"').encode("utf-16"))
    assert open_bundle(path).manifest.format == "pmml"


def test_bits_flipped_anywhere(tmp_path):
    """An error of ours, or a model: never anything else."""
    whole = document(tree("none"), ("a", "b")).encode()
    path = tmp_path / "flipped.pmml"
    random = np.random.default_rng(0)
    opened = 0
    for _ in range(300):
        flipped = bytearray(whole)
        for at in random.integers(60, len(whole), 2):
            flipped[at] ^= 1 << int(random.integers(0, 7))
        path.write_bytes(flipped)
        try:
            open_bundle(path)
        except BundleError:
            continue
        opened += 1
    assert opened < 300


def test_other_xml_is_no_model(tmp_path):
    path = tmp_path / "page.pmml"
    path.write_text("<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(UnknownFormat):
        recognise(path)
