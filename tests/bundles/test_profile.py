"""Profiles and reference samples: what a bundle remembers of the data it was packed with."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import servable
from servable.bundles.profile import (
    CELLS,
    describe,
    profile_bytes,
    profile_of,
    read_profile,
    read_reference,
    reference_bytes,
)
from servable.domain.batch import Batch
from servable.domain.columns import columns, numbers
from servable.domain.field import Field
from servable.domain.profile import Profile
from servable.errors import DigestMismatch

ROWS = 3000


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, ROWS).astype(float),
            "spent": rng.lognormal(3, 1, ROWS),
            "left": rng.choice(["no", "yes"], ROWS, p=[0.75, 0.25]),
        }
    )
    frame.loc[ROWS - 4, "age"] = 200.0  # seen by the profile only: the rows looked at leave it out
    return frame


@pytest.fixture(scope="module")
def bundle(customers, tmp_path_factory):
    model = LogisticRegression().fit(customers[["age", "spent"]], customers["left"])
    return servable.pack(model, name="churn", sample=customers, label="left", output=tmp_path_factory.mktemp("b") / "b")


def test_the_profile_is_of_every_row_that_was_given(bundle, customers):
    profile = read_profile(bundle)
    assert profile.rows == ROWS
    age = profile.columns["age"]
    assert (age.kind, age.count, age.missing, age.maximum) == ("numeric", ROWS, 0, 200.0)
    assert len(age.quantiles) == 101
    assert age.quantiles[50] == customers["age"].median()
    assert age.mean == pytest.approx(customers["age"].mean())
    assert sum(age.histogram.counts) == ROWS
    assert (profile.label, profile.target.frequencies) == ("left", customers["left"].value_counts().to_dict())


def test_the_profile_has_the_models_answers(bundle):
    outputs = read_profile(bundle).outputs
    assert outputs["label"].kind == "categorical"
    assert 0.0 <= outputs["probabilities_yes"].minimum <= outputs["probabilities_yes"].maximum <= 1.0


def test_the_reference_sample_has_rows_that_the_model_takes_with_their_outcomes(bundle, customers):
    rows = read_reference(bundle)
    assert rows.inputs.rows == len(rows.label) == 2000
    assert bundle.signature.check(rows.inputs) == []
    assert rows.label[0] == customers["left"][0]
    assert columns(rows.inputs, bundle.signature.inputs)["spent"][0] == pytest.approx(customers["spent"][0], rel=1e-6)


def test_rows_stay_out_where_they_must_not_travel(customers, tmp_path):
    model = StandardScaler().fit(customers[["age", "spent"]])
    bundle = servable.pack(model, name="s", sample=customers[["age", "spent"]], reference=False, output=tmp_path / "b")
    assert read_reference(bundle) is None
    assert read_profile(bundle).rows == ROWS
    assert not (tmp_path / "b" / "reference.json").exists()


def test_a_missing_value_outside_the_rows_looked_at_is_still_taken(tmp_path):
    from sklearn.impute import SimpleImputer

    frame = pd.DataFrame({"a": np.arange(5000.0), "b": np.arange(5000.0)})
    frame.loc[4998, "b"] = np.nan
    bundle = servable.pack(SimpleImputer().fit(frame), name="i", sample=frame, output=tmp_path / "b")
    assert read_profile(bundle).columns["b"].missing == 1
    assert read_profile(bundle).rows == 5000


def test_a_changed_profile_is_not_read(bundle):
    path = bundle.folder / "profile.json"
    kept = path.read_bytes()
    try:
        path.write_bytes(kept.replace(b"numeric", b"NUMERIC", 1))
        with pytest.raises(DigestMismatch, match=r"profile\.json"):
            read_profile(bundle)
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize(
    ("field", "values", "kind", "expected"),
    [
        (Field("x", "FP64", values="any"), [1.0, np.nan, np.inf, 3.0], "numeric", (3, 1, 1.0, 3.0, {"1": 1, "3": 1})),
        (Field("x", "INT64"), [7, 7, 9], "numeric", (3, 0, 7.0, 9.0, {"7": 2, "9": 1})),
        (Field("x", "BOOL"), [True, True, False], "categorical", (3, 0, None, None, {"True": 2, "False": 1})),
        (Field("x", "BYTES"), ["b", "a", "b", "b", None], "categorical", (4, 1, None, None, {"b": 3, "a": 1})),
        (Field("x", "BYTES"), ["one", "three", b"\xff", None], "text", (3, 1, 1.0, 5.0, {})),
        (Field("x", "BYTES", content="date"), ["1970-01-02", None], "date", (1, 1, 86400.0, 86400.0, {})),
        (Field("x", "FP64", values="missing"), [np.nan], "numeric", (0, 1, None, None, {})),
    ],
)
def test_what_a_column_holds(field, values, kind, expected):
    array = np.array(values, field.dtype)
    found = describe(array, field)
    assert found.kind == kind
    assert (found.count, found.missing, found.minimum, found.maximum, found.frequencies) == expected
    assert found.count + found.missing == len(values)


def test_many_categories_are_cut_and_the_rest_counted():
    values = [f"c{n % 150}" for n in range(600)]
    assert describe(np.array(values, object), Field("x", "BYTES")).other == 0
    many = describe(np.array([f"c{n % 300}" for n in range(900)], object), Field("x", "BYTES"))
    assert many.kind == "text"


def test_images_are_described_as_a_whole():
    batch = Batch({"image": np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)})
    found = profile_of(batch, (Field("image", "FP32", (-1, 3, 4, 4)),))
    assert list(found) == ["image"]
    assert found["image"].count == 96


@given(st.lists(st.floats(width=64), min_size=1, max_size=50))
def test_any_numbers_at_all_make_a_profile_that_is_read_back(values):
    found = describe(np.array(values), Field("x", "FP64", values="any"))
    profile = Profile(len(values), {"x": found})
    assert msgspec.json.decode(profile_bytes(profile), type=Profile) == profile


def test_wide_rows_are_kept_in_smaller_number():
    rows = Batch({"pixels": np.zeros((2000, 1000), np.float32)})
    written = msgspec.json.decode(reference_bytes(rows, None))
    assert written["rows"] == CELLS // 1000


def test_dates_are_seconds_and_texts_are_lengths():
    assert numbers(np.array(["1970-01-01T00:00:02Z", "x", None], object), Field("d", "BYTES", content="date")).tolist()[
        :1
    ] == [2.0]
    assert numbers(np.array(["abc"], object), Field("t", "BYTES")).tolist() == [3.0]
