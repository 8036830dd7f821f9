"""Packing of real tables: text, categories, gaps, booleans, dates, by every model that people put behind them."""

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC
from xgboost import XGBClassifier

import servable
from servable.bundles.golden import prove_golden
from servable.bundles.open import open_bundle
from servable.errors import InvalidInput, UsageError
from servable.runtimes.find import runtime
from tests.bundles.real import car_loan, pipeline, titanic

pytestmark = pytest.mark.filterwarnings("ignore")

NUMBERS = ["Pclass", "Age", "SibSp", "Parch", "Fare"]
TEXTS = ["Sex", "Embarked", "Cabin"]
ORDINAL = {"handle_unknown": "use_encoded_value", "unknown_value": -1}


def columns(*parts, **how):
    return ColumnTransformer([(str(at), part, names) for at, (part, names) in enumerate(parts)], **how)


def packed(model, table, folder, **how):
    bundle = servable.pack(model, name="m", sample=table, output=folder, **how)
    opened = open_bundle(folder)
    assert prove_golden(opened, runtime(opened.manifest.format).load(opened)) > 0
    return bundle, servable.load(folder)


def same(model, table, predictor):
    found = predictor.predict(table)
    expected = np.asarray(model.predict(table)).ravel()
    assert found["label"].tolist() == expected.tolist()
    names = [f"probabilities_{name}" for name in np.asarray(model.classes_).tolist()]
    np.testing.assert_allclose(found[names].to_numpy(), model.predict_proba(table), rtol=1e-3, atol=1e-5)


def shuffled(table):
    """Columns in another order, rows too, each column shuffled by itself: rows that no sample had."""
    random = np.random.default_rng(3)
    made = {
        name: table[name].iloc[random.permutation(len(table))].reset_index(drop=True) for name in table.columns[::-1]
    }
    return pd.DataFrame(made)


ON_THE_TITANIC = {
    "logistic": pipeline(LogisticRegression(), NUMBERS, TEXTS),
    "margins": pipeline(SVC(probability=False), NUMBERS, TEXTS),
    "boosting": pipeline(GradientBoostingClassifier(n_estimators=10), NUMBERS, TEXTS),
    "forest": pipeline(RandomForestClassifier(20, random_state=0), NUMBERS, TEXTS),
    "xgboost": pipeline(XGBClassifier(n_estimators=10), NUMBERS, TEXTS),
    "lightgbm": pipeline(LGBMClassifier(n_estimators=10, verbose=-1), NUMBERS, TEXTS),
    "missing told apart": make_pipeline(
        columns(
            (SimpleImputer(add_indicator=True), NUMBERS),
            (
                make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(drop="first")),
                ["Cabin"],
            ),
            (OneHotEncoder(handle_unknown="ignore"), ["Sex", "Embarked"]),
        ),
        LogisticRegression(max_iter=2000),
    ),
    "rare ones together": make_pipeline(
        columns(
            (make_pipeline(SimpleImputer(), MinMaxScaler()), NUMBERS),
            (OneHotEncoder(min_frequency=30, handle_unknown="infrequent_if_exist"), TEXTS),
        ),
        LogisticRegression(max_iter=2000),
    ),
    "numbered texts and trees that take gaps": make_pipeline(
        columns((OrdinalEncoder(**ORDINAL), TEXTS), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=10),
    ),
    "categories of its own": make_pipeline(
        columns(
            (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), TEXTS), remainder="passthrough"
        ),
        HistGradientBoostingClassifier(max_iter=10, categorical_features=[0, 1, 2]),
    ),
    "gaps numbered": make_pipeline(
        columns((OrdinalEncoder(encoded_missing_value=-2, **ORDINAL), TEXTS), (SimpleImputer(), NUMBERS)),
        RandomForestClassifier(10, random_state=0),
    ),
    "class numbers as categories": make_pipeline(
        columns((OneHotEncoder(), ["Pclass", "Sex"]), (SimpleImputer(), ["Age", "Fare"])),
        LogisticRegression(max_iter=2000),
    ),
    "by dtype": make_pipeline(
        ColumnTransformer(
            [
                ("n", make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
                ("t", OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
            ]
        ),
        LogisticRegression(max_iter=2000),
    ),
}


@pytest.mark.parametrize("name", ON_THE_TITANIC)
def test_a_pipeline_of_mixed_columns_becomes_onnx(name, tmp_path):
    table, survived = titanic()
    target = (survived == "survived").astype(int) if name == "xgboost" else survived
    model = ON_THE_TITANIC[name].fit(table, target)
    bundle, predictor = packed(model, table, tmp_path / "m")
    assert bundle.manifest.format == "onnx", bundle.manifest.lineage
    assert {field.name for field in bundle.signature.inputs} == set(table.columns)
    if name == "margins":
        assert predictor.predict(table)["label"].tolist() == model.predict(table).tolist()
        return
    same(model, table, predictor)
    strange = shuffled(table)
    if bundle.signature.input("Sex").categories == ():
        strange.loc[0, "Sex"] = "unknown"
    if bundle.signature.input("Age").values == "missing":  # noqa: PD011 - of a field, not of a frame
        strange.loc[1, "Age"] = np.nan
    same(model, strange[table.columns], predictor) if name == "by dtype" else same(model, strange, predictor)


def test_the_contract_of_a_mixed_table(tmp_path):
    table, survived = titanic()
    bundle, predictor = packed(ON_THE_TITANIC["logistic"].fit(table, survived), table, tmp_path / "m")
    fields = {field.name: (field.datatype, field.values) for field in bundle.signature.inputs}  # noqa: PD011 - as above
    assert fields["Age"] == ("FP32", "missing")
    assert fields["Pclass"] == ("INT64", "finite")
    assert fields["Sex"] == ("BYTES", "missing")
    assert all(field.shape == (-1, 1) for field in bundle.signature.inputs)
    assert bundle.manifest.labels["probabilities"] == ("died", "survived")
    without = table.drop(columns=["Cabin", "Age"]).head(3)
    gaps = table.head(3).assign(Cabin=None, Age=np.nan)
    pd.testing.assert_frame_equal(predictor.predict(without), predictor.predict(gaps))
    with pytest.raises(InvalidInput, match="'Pclass'"):
        predictor.predict(table.drop(columns="Pclass"))
    with pytest.raises(InvalidInput, match=r"'Deck'.*unknown column"):
        predictor.predict(table.assign(Deck="A"))
    with pytest.raises(InvalidInput, match=r"'Pclass'.*missing values"):
        predictor.predict(table.head(2).assign(Pclass=[1.0, np.nan]))


def test_what_the_model_refuses_its_contract_refuses(tmp_path):
    """An encoder that raises for an unseen category would be all zeros in ONNX: a silent wrong score."""
    table, survived = titanic()
    model = make_pipeline(columns((OneHotEncoder(), ["Sex"]), (StandardScaler(), ["Fare"])), LogisticRegression()).fit(
        table[["Sex", "Fare"]], survived
    )
    bundle, predictor = packed(model, table[["Sex", "Fare"]], tmp_path / "m")
    assert bundle.manifest.format == "onnx"
    assert bundle.signature.input("Sex").categories == ("female", "male")
    assert bundle.signature.input("Fare").values == "finite"  # noqa: PD011 - as above
    with pytest.raises(InvalidInput, match="one of female, male"):
        predictor.predict(pd.DataFrame({"Sex": ["other"], "Fare": [1.0]}))


def test_whole_numbers_with_gaps_are_the_categories_they_were(tmp_path):
    """pandas makes 3.0 of 3 where a neighbour is missing."""
    table, survived = titanic()
    table = table[["Fare"]].assign(Pclass=pd.Categorical(table["Pclass"].where(table["Fare"] > 8)))
    assert table["Pclass"].cat.categories.dtype == float
    model = make_pipeline(
        columns((OneHotEncoder(handle_unknown="ignore"), ["Pclass"]), (StandardScaler(), ["Fare"])),
        LogisticRegression(),
    ).fit(table, survived)
    for to in ("auto", "keep"):
        _, predictor = packed(model, table, tmp_path / to, to=to)
        same(model, table, predictor)
        expected = predictor.predict(table.head(50))
        for form in (
            table.assign(Pclass=table["Pclass"].astype(float)),
            table.assign(Pclass=table["Pclass"].astype(float).astype("Int64")),
            table.assign(Pclass=table["Pclass"].astype(float).astype("Int64").astype(object)),
        ):
            pd.testing.assert_frame_equal(predictor.predict(form.head(50)), expected)


def test_a_frame_model_kept_as_it_is_sees_the_frame_of_its_training(tmp_path):
    table, survived = titanic()
    model = ON_THE_TITANIC["logistic"].fit(table, survived)
    bundle, predictor = packed(model, table, tmp_path / "m", to="keep")
    assert bundle.manifest.format == "sklearn"
    assert bundle.manifest.options["frame"]["names"] == list(table.columns)
    same(model, shuffled(table), predictor)


LOANS = ["car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"]


def test_loans_with_booleans_and_euros(tmp_path):
    table, repaid = car_loan()
    table = table.drop(columns="timestamp")
    model = make_pipeline(
        columns(
            (StandardScaler(), LOANS),
            (OneHotEncoder(handle_unknown="ignore"), ["salary_range", "size_of_downpayment"]),
            ("passthrough", ["repaid_loan_on_prev_car"]),
        ),
        GradientBoostingClassifier(n_estimators=10),
    ).fit(table, repaid)
    bundle, predictor = packed(model, table, tmp_path / "m")
    assert bundle.manifest.format == "onnx", bundle.manifest.lineage
    assert bundle.signature.input("repaid_loan_on_prev_car").datatype == "BOOL"
    same(model, shuffled(table)[table.columns], predictor)


def test_targets_and_bins(tmp_path):
    table, repaid = car_loan()
    chosen = table[["salary_range", *LOANS]]
    model = make_pipeline(
        columns((TargetEncoder(), ["salary_range"]), (KBinsDiscretizer(4, encode="ordinal"), LOANS)),
        RandomForestClassifier(10, random_state=0),
    ).fit(chosen, repaid)
    _, predictor = packed(model, chosen, tmp_path / "m")
    same(model, shuffled(chosen)[chosen.columns], predictor)


def test_dates_stay_with_the_model_that_takes_them(tmp_path):
    table, repaid = car_loan(600)
    table["month"] = table["timestamp"].dt.to_period("M").dt.to_timestamp()
    table.loc[::50, "month"] = pd.NaT
    chosen = table[["car_value", "month"]]
    model = make_pipeline(
        columns((StandardScaler(), ["car_value"]), (OneHotEncoder(handle_unknown="ignore"), ["month"])),
        LogisticRegression(),
    ).fit(chosen, repaid)
    bundle, predictor = packed(model, chosen, tmp_path / "m")
    assert bundle.manifest.format == "sklearn"
    assert bundle.manifest.lineage["rejected"] == ["ONNX has no dates"]
    field = bundle.signature.input("month")
    assert (field.datatype, field.content, field.values) == ("BYTES", "date", "missing")  # noqa: PD011 - as above
    same(model, chosen, predictor)
    as_text = chosen.assign(month=chosen["month"].dt.strftime("%Y-%m-%d"))
    same_answers = predictor.predict(as_text)
    pd.testing.assert_frame_equal(same_answers, predictor.predict(chosen))
    with pytest.raises(InvalidInput, match="ISO 8601"):
        predictor.predict(pd.DataFrame({"car_value": [1.0], "month": ["soon"]}))


def test_a_regression_on_a_table(tmp_path):
    table, _ = titanic()
    known = table[table["Age"].notna()].reset_index(drop=True)
    model = pipeline(RandomForestRegressor(10), ["Pclass", "SibSp", "Parch", "Fare"], TEXTS)
    model.fit(known.drop(columns="Age"), known["Age"])
    bundle = servable.pack(model, name="age", sample=known, label="Age", output=tmp_path / "m")
    assert bundle.manifest.format == "onnx", bundle.manifest.lineage
    with servable.load(tmp_path / "m") as predictor:
        rows = known.drop(columns="Age")
        np.testing.assert_allclose(predictor.predict(rows)["prediction"], model.predict(rows), rtol=1e-5)


def test_numbers_of_a_frame_become_one_matrix_with_names(tmp_path):
    """Thirty inputs cost a client thirty headers: columns that are all numbers travel together, found by name."""
    table, _ = titanic()
    chosen = table[["Pclass", "SibSp", "Fare"]]
    model = make_pipeline(columns((StandardScaler(), ["Fare"]), remainder="passthrough"), Ridge()).fit(
        chosen, table["Parch"]
    )
    bundle = servable.pack(model, name="m", sample=chosen, output=tmp_path / "m")
    (field,) = bundle.signature.inputs
    assert (field.shape, field.features) == ((-1, 3), ("Pclass", "SibSp", "Fare"))
    with servable.load(tmp_path / "m") as predictor:
        turned = chosen[["Fare", "Pclass", "SibSp"]]
        np.testing.assert_allclose(predictor.predict(turned)["prediction"], model.predict(chosen), atol=1e-4)


# ---- the tree libraries on tables of their own


def categorical(table):
    return table.astype(dict.fromkeys(TEXTS, "category"))


def native(name):
    table, survived = titanic()
    died = (survived == "died").astype(int)
    if name == "xgboost":
        frame = categorical(table)
        return XGBClassifier(n_estimators=10, enable_categorical=True).fit(frame, died), frame
    if name == "lightgbm":
        frame = categorical(table).rename(columns={"Cabin": "Cabin letter"})
        return LGBMClassifier(n_estimators=10, verbose=-1).fit(frame, survived), frame
    frame = table.assign(**{text: table[text].fillna("unknown") for text in TEXTS})
    model = CatBoostClassifier(iterations=10, cat_features=[*TEXTS, "Pclass"], verbose=0, allow_writing_files=False)
    return model.fit(frame, survived), frame


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost"])
def test_categories_and_gaps_stay_with_the_library_that_knows_them(name, tmp_path):
    model, table = native(name)
    bundle, predictor = packed(model, table, tmp_path / "m")
    assert bundle.manifest.format == name
    assert [field.name for field in bundle.signature.inputs] == list(table.columns)
    same(model, table, predictor)
    turned = table[table.columns[::-1]].head(20)
    pd.testing.assert_frame_equal(predictor.predict(turned), predictor.predict(table.head(20)))
    plain = table.head(20).astype({column: object for column in table if str(table[column].dtype) == "category"})
    pd.testing.assert_frame_equal(predictor.predict(plain), predictor.predict(table.head(20)))


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_an_unseen_category_is_refused_where_it_would_be_a_silent_guess(name, tmp_path):
    model, table = native(name)
    _, predictor = packed(model, table, tmp_path / "m")
    strange = table.head(2).astype({"Sex": object})
    strange.loc[0, "Sex"] = "unknown"
    with pytest.raises(InvalidInput, match="one of female, male"):
        predictor.predict(strange)


def test_catboost_on_numbers_becomes_onnx(tmp_path):
    table, survived = titanic()
    chosen = table[["Pclass", "Age", "Fare"]]
    model = CatBoostClassifier(iterations=10, verbose=0, allow_writing_files=False).fit(chosen, survived)
    bundle, predictor = packed(model, chosen, tmp_path / "m")
    assert bundle.manifest.format == "onnx", bundle.manifest.lineage
    same(model, chosen, predictor)


class Zero(BaseEstimator):
    """Takes anything."""

    def fit(self, frame, target):
        return self

    def predict(self, frame):
        return np.zeros(len(frame))

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ([{"a": 1}] * 10, "dict values"),
        ([1, "a"] * 5, "int values"),
        ([True, None] * 5, "bool values"),
        (pd.to_timedelta(range(10), unit="D"), "timedelta64"),
    ],
)
def test_a_column_that_cannot_travel_is_named(column, says, tmp_path):
    table = pd.DataFrame({"x": np.arange(10.0), "odd": column})
    if isinstance(column, list):
        table["odd"] = pd.Series(column, dtype=object)

    with pytest.raises(UsageError, match="'odd'") as caught:
        servable.pack(Zero(), name="m", sample=table, output=tmp_path / "m")
    assert says in caught.value.message
