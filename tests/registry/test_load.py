from __future__ import annotations

import numpy as np
import pytest

import servable
from servable.errors import NotFound, UsageError
from servable.registry.registry import Registry
from tests.packed import bundle_at, scaler

X = {"x": np.array([[1.0, 2.0]], np.float32)}


@pytest.fixture
def home(tmp_path, monkeypatch):
    for factor in (3, 2):
        Registry(tmp_path / "home").register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVABLE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def answer(source, **options) -> list[float]:
    with servable.load(source, **options) as model:
        return model.predict(X)["y"].ravel().tolist()


def test_by_ref(home):
    assert answer("scaler") == [2.0, 4.0]
    assert answer("scaler:1") == [3.0, 6.0]
    Registry(home).alias("scaler", "champion", "1")
    assert answer("scaler") == answer("scaler@champion") == [3.0, 6.0]


def test_by_path(home, tmp_path):
    assert answer(tmp_path / "b3") == answer("b3") == [3.0, 6.0]
    assert answer(scaler(tmp_path / "other" / "m.onnx", 5)) == [5.0, 10.0]


def test_of_another_home(home, tmp_path):
    Registry(tmp_path / "elsewhere").register(bundle_at(tmp_path / "b9", factor=9))
    assert answer("scaler", home=tmp_path / "elsewhere") == [9.0, 18.0]


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("nobody", NotFound, "no model 'nobody' is registered"),
        ("scaler:9", NotFound, "no version '9'"),
        ("a b", UsageError, "does not name a model"),
        ("./nothing.onnx", NotFound, "there is no bundle or model file"),
    ],
)
def test_what_is_not_there(home, source, error, said):
    with pytest.raises(error, match=said):
        servable.load(source)
