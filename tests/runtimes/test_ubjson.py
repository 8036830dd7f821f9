import contextlib
import json

import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from servable.runtimes.ubjson import BrokenUBJSON, loads


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(BrokenUBJSON):
        loads(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"[i\x01U\xffI\x00\x02]", [1, 255, 2]),
        (b"[#i\x02TF", [True, False]),
        (b"[$d#i\x01\x3f\x80\x00\x00", [1.0]),
        (b"{i\x01aZi\x01bSi\x02hi}", {"a": None, "b": "hi"}),
        (b"[[]{}]", [[], {}]),
    ],
)
def test_each_form(data, value):
    assert loads(data) == value


@pytest.mark.parametrize("data", [b"", b"[", b"{i\x01", b"Si\xffa", b"[$d#i\x7f\x00", b"x", b"[" * 200, b"[#i\xffT"])
def test_what_is_broken_is_refused(data):
    with pytest.raises(BrokenUBJSON):
        loads(data)


def test_what_nobody_asked_for_is_skipped():
    booster = xgboost.XGBClassifier(n_estimators=2).fit(*load_iris(return_X_y=True)).get_booster()
    whole, lean = loads(bytes(booster.save_raw("ubj"))), loads(bytes(booster.save_raw("ubj")), {"trees"})
    assert whole["learner"]["gradient_booster"]["model"].pop("trees")
    assert lean["learner"]["gradient_booster"]["model"].pop("trees") is None
    assert lean == whole
    assert whole["version"] == json.loads(booster.save_raw("json"))["version"]
