"""A model opened elsewhere: foreign code answers, crashes and refuses there, behind walls, and is gone with `close`."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

import servable
from servable.bundles.elsewhere.table import given, taken
from servable.bundles.open_model import open_model
from servable.domain.batch import Batch
from servable.errors import CorruptModel, DigestMismatch, EnvironmentFault, ModelFailed, ServableError, UsageError
from servable.sandbox import landlock
from tests.custom import custom
from tests.packed import bundle_at

MODEL = """
import os
import servable

def attempt(path, mode):
    try:
        open(path, mode).close()
    except OSError as error:
        return type(error).__name__
    return "did"

class Own(servable.PythonModel):
    inputs = {"x": "FP64 [-1, 2]", "path": "BYTES [-1, 1]"}
    outputs = {"pid": "INT64 [-1]", "read": "BYTES [-1]", "wrote": "BYTES [-1]", "secrets": "BYTES [-1]"}

    def predict(self, batch):
        if batch["x"][0, 0] < 0:
            os._exit(7)
        if batch["x"][0, 0] > 9:
            raise ValueError("too much")
        path = batch["path"][0, 0]
        print("noise")
        told = {"pid": os.getpid(), "read": attempt(path, "r"), "wrote": attempt(path + ".new", "w"),
                "secrets": os.environ.get("AWS_SECRET_ACCESS_KEY", "none")}
        return {name: [value] * len(batch["x"]) for name, value in told.items()}
"""

THERE = 'import os\nif "servable-elsewhere" in os.environ["HOME"]:\n'
"""Where the code misbehaves: not in the test that writes its bundle."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return custom(tmp_path_factory.mktemp("own") / "own", MODEL)


@pytest.fixture
def own(bundle, tmp_path):
    opened = open_model(bundle, tmp_path)
    yield opened.model
    opened.model.close()


def ask(model, value: float, rows: int = 3, path: str = "/etc/hostname"):
    texts = np.full((rows, 1), path, object)
    return model.predict(Batch({"x": np.full((rows, 2), value), "path": texts}, rows))


def test_it_answers_from_elsewhere(own):
    (pid,) = set(ask(own, 1.0)["pid"].tolist())
    assert pid != os.getpid()
    assert len(ask(own, 1.0, rows=200_000)["pid"]) == 200_000


def test_an_error_is_told_and_the_process_lives_on(own):
    with pytest.raises(ModelFailed, match="ValueError"):
        ask(own, 10.0)
    assert len(ask(own, 1.0)["pid"]) == 3


def test_a_crash_is_told_and_so_is_whoever_asks_after_it(own):
    with pytest.raises(ModelFailed, match=r"died of a call with 3 rows \(exit code 7"):
        ask(own, -1.0)
    with pytest.raises(ModelFailed, match="died"):
        ask(own, 1.0)


def test_it_is_gone_when_closed_and_so_is_its_folder(bundle, tmp_path):
    opened = open_model(bundle, tmp_path)
    pid, place = opened.model._process.pid, opened.model.place
    assert place.exists()
    opened.model.close()
    assert not Path(f"/proc/{pid}").exists()
    assert not place.parent.exists()


def test_what_a_program_loads_stands_behind_walls(bundle, tmp_path, monkeypatch):
    """`servable.load` in a notebook gives foreign code no more than a server does."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (tmp_path / "mine").write_text("private")
    with servable.load(bundle) as predictor:
        answer = predictor.predict({"x": np.ones((1, 2)), "path": np.array([[str(tmp_path / "mine")]], object)})
        assert {layer.split()[0] for layer in predictor.sandbox} >= {"resource", "no"}
    assert answer["secrets"].tolist() == ["none"]
    if landlock.version():
        assert (answer["read"].tolist(), answer["wrote"].tolist()) == (["PermissionError"], ["PermissionError"])
        assert not (tmp_path / "mine.new").exists()


def test_data_is_open_here(tmp_path):
    with servable.load(bundle_at(tmp_path / "b")) as predictor:
        assert predictor.sandbox == ()


def test_what_keeps_it_from_loading_is_told(bundle, tmp_path):
    broken = custom(tmp_path / "broken", f"{THERE}    import nowhere_to_be_found\n{MODEL}")
    with pytest.raises(ServableError, match="nowhere_to_be_found"):
        open_model(broken, tmp_path)
    with pytest.raises(CorruptModel, match=r"ended the process that opened it \(exit code 9\)"):
        open_model(custom(tmp_path / "ends", f"{THERE}    os._exit(9)\n{MODEL}"), tmp_path)
    with pytest.raises(DigestMismatch, match="registered was sha256:other"):
        open_model(bundle, tmp_path, digest="sha256:other")
    with pytest.raises(EnvironmentFault, match="'/nowhere/python' cannot be run"):
        open_model(custom(tmp_path / "python", MODEL, python="/nowhere/python"), tmp_path)


def test_less_than_all_layers_is_refused_where_all_are_required(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVABLE_SANDBOX", "off")
    opened = open_model(bundle, tmp_path)
    opened.model.close()
    assert opened.layers == ("resource limits",)


# ---- a file that is packed


class Act:
    """A pickle that calls something as it is opened."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __reduce__(self):
        return self.what, self.arguments


def packed(tmp_path, act):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(act))
    layers: list[str] = []
    with pytest.raises(ServableError) as caught:
        servable.pack(tmp_path / "model.pkl", name="m", sample=np.ones((5, 2)), output=tmp_path / "m",
                      allow_unsafe=True, on_sandbox=layers.extend)  # fmt: skip
    assert not (tmp_path / "m").exists()
    assert layers
    return caught.value


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_a_pickle_that_is_packed_writes_and_reads_nothing_of_ours(tmp_path):
    """Consent is to run it, not to give it this machine."""
    assert "PermissionError" in str(packed(tmp_path, Act(open, str(tmp_path / "sang"), "w")))
    assert not (tmp_path / "sang").exists()
    (tmp_path / "secret").write_text("private")
    assert "PermissionError" in str(packed(tmp_path, Act(open, str(tmp_path / "secret"))))
    assert "PermissionError" in str(packed(tmp_path, Act(os.fork)))


def test_a_pickle_that_ends_its_process_ends_no_program(tmp_path):
    told = packed(tmp_path, Act(os._exit, 3))
    assert isinstance(told, CorruptModel)
    assert "ended the process that opened it (exit code 3)" in str(told)


def test_a_sample_arrives_as_it_was_given():
    frame = pd.DataFrame(
        {
            "float32": np.array([1.5, np.nan, 3], np.float32),
            "int8": np.array([1, 2, 3], np.int8),
            "bool": [True, False, True],
            "object": pd.Series(["a", None, float("nan")], dtype=object),
            "str": pd.Series(["a", "b", None], dtype="str"),
            "string": pd.Series(["a", pd.NA, "c"], dtype="string"),
            "Int64": pd.Series([1, pd.NA, 3], dtype="Int64"),
            "Float32": pd.Series([1.5, pd.NA, 3], dtype="Float32"),
            "boolean": pd.Series([True, pd.NA, False], dtype="boolean"),
            "category": pd.Categorical(["x", None, "y"], categories=["y", "x", "z"], ordered=True),
            "numbers": pd.Categorical([3, 8, None]),
            "day": pd.to_datetime(["2026-01-01", None, "2026-03-01"]),
            "zone": pd.to_datetime(["2026-01-01", None, "2026-03-01"]).tz_localize("Europe/Berlin"),
        }
    )
    back = taken(msgspec.msgpack.decode(msgspec.msgpack.encode(given(frame)), type=type(given(frame))))
    pd.testing.assert_frame_equal(back, frame)
    assert back["object"].tolist()[1] is None
    assert isinstance(back["object"].tolist()[2], float)
    for matrix in (np.arange(6, dtype=np.float32).reshape(3, 2), np.array([["a"], [None]], object), np.array(["é"])):
        found = taken(given(matrix))
        assert (found.dtype, found.tolist()) == (matrix.dtype, matrix.tolist())
    arrays = taken(given({"a": np.ones((2, 3, 4)), "b": np.array([1, 2])}))
    assert {name: array.shape for name, array in arrays.items()} == {"a": (2, 3, 4), "b": (2,)}
    for odd in (pd.DataFrame({"a": [object()]}), np.array([object()])):
        with pytest.raises(UsageError, match="object"):
            given(odd)
