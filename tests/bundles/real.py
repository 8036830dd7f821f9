"""Tables that others collected, as they are: text, categories, gaps, dates."""

from __future__ import annotations

from functools import cache

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.assets import wheel


@cache
def _read(name: str) -> pd.DataFrame:
    folder = wheel("nannyml==0.13.1") / "nannyml" / "datasets" / "data"
    return pd.read_csv(folder / name)


def titanic() -> tuple[pd.DataFrame, pd.Series]:
    """Passengers, one in five of unknown age, two of unknown port, most without a cabin; and who survived."""
    data = _read("titanic_reference.csv")
    table = data[["Pclass", "Sex", "Age", "SibSp", "Parch", "Fare", "Cabin", "Embarked"]].copy()
    table["Cabin"] = table["Cabin"].str[0]
    return table, data["Survived"].map({0: "died", 1: "survived"})


def car_loan(rows: int = 1500) -> tuple[pd.DataFrame, pd.Series]:
    """Loans with salary ranges in euros, booleans, and a date for each; and whether they were paid back."""
    data = _read("synthetic_car_loan_reference.csv").head(rows)
    table = data.drop(columns=["id", "repaid", "y_pred_proba", "y_pred"])
    table["timestamp"] = pd.to_datetime(table["timestamp"])
    return table, data["repaid"].astype(int)


def prepared(numbers: list[str], texts: list[str]) -> ColumnTransformer:
    """The preparation that most tables get."""
    filled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoded = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer([("numbers", filled, numbers), ("texts", encoded, texts)])


def pipeline(model, numbers: list[str], texts: list[str]) -> Pipeline:
    return Pipeline([("columns", prepared(numbers, texts)), ("model", model)])
