"""Models that change the case of texts: the same on every machine, or a clear word about the locale that lacks."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import servable
from servable.errors import EnvironmentFault
from servable.runtimes import onnx_locale

TEXTS = np.array(["straße", "İIıi", "Éa", "the"], object)


def normalizer(path, locale=None):
    """A StringNormalizer behind a node that is kept as it is."""
    stated = {"case_change_action": "UPPER", "is_case_sensitive": 0, "stopwords": ["no"]}
    if locale is not None:
        stated["locale"] = locale
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("StringNormalizer", ["same"], ["y"], **stated),
    ]
    texts = [helper.make_tensor_value_info(name, TensorProto.STRING, [None]) for name in "xy"]
    graph = helper.make_graph(nodes, "texts", texts[:1], texts[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def answers(path):
    with servable.load(path) as model:
        return model.predict({"x": TEXTS})["y"].tolist()


@pytest.mark.parametrize("locale", [None, "", "en_US", "en_US.UTF-8", "en_US.utf8", "en-US", "C.UTF-8"])
def test_the_usual_rules_are_the_same_on_every_machine(locale, tmp_path, caplog):
    """en_US is in no slim container; its rules are."""
    assert answers(normalizer(tmp_path / "m.onnx", locale)) == ["STRAßE", "İIII", "ÉA", "THE"]
    assert not caplog.text


def test_other_rules_want_their_locale_and_say_how_to_get_it(tmp_path, capfd):
    path = normalizer(tmp_path / "m.onnx", "xx_YY.UTF-8")
    for attempt in (servable.load, lambda path: servable.pack(path, output=tmp_path / "out")):
        with pytest.raises(EnvironmentFault) as caught:
            attempt(path)
        told = caught.value.message
        assert "'m.onnx' changes the case of texts by the rules of the locale 'xx_YY.UTF-8'" in told
        assert "localedef -i xx_YY -f UTF-8 xx_YY.UTF-8" in told
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr().err == ""


def made(folder, name):
    """A folder of locales with this one in it."""
    folder.mkdir()
    done = subprocess.run(
        [shutil.which("localedef") or "localedef", "-i", name, "-f", "UTF-8", str(folder / f"{name}.UTF-8")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (folder / f"{name}.UTF-8").is_dir(), f"{done.stderr}: apt-get install locales"
    return {**os.environ, "LOCPATH": str(folder)}


ASK = "import sys, servable; print(servable.load(sys.argv[1]).predict({'x': ['i']})['y'].tolist())"


def test_where_the_locale_is_its_rules_hold_and_packing_tells_what_it_needs(tmp_path):
    environ = made(tmp_path / "locales", "tr_TR")
    path = normalizer(tmp_path / "m.onnx", "tr_TR.UTF-8")
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(path)], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["['İ']"]
    command = [sys.executable, "-m", "servable", "pack", str(path), "--output", str(tmp_path / "out"), "--no-register"]
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert "tr_TR.UTF-8: every machine that serves it needs that locale" in told.stderr


COMPARE = """
import ctypes
system = ctypes.CDLL(None)
system.newlocale.restype, system.newlocale.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
here, there = (system.newlocale(1, name, None) for name in (b"C.UTF-8", b"en_US.UTF-8"))
assert here and there
for change in (system.towupper_l, system.towlower_l):
    change.restype, change.argtypes = ctypes.c_uint, (ctypes.c_uint, ctypes.c_void_p)
    print(sum(change(point, here) != change(point, there) for point in range(0x110000)))
"""


def test_what_stands_in_for_the_usual_locale_has_its_rules_for_every_character(tmp_path):
    environ = made(tmp_path / "locales", "en_US")
    done = subprocess.run([sys.executable, "-c", COMPARE], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]


def test_a_system_without_the_stand_in_gets_the_file_as_it_is(tmp_path, monkeypatch):
    data = normalizer(tmp_path / "m.onnx").read_bytes()
    monkeypatch.setattr(onnx_locale, "PLAIN", "xx_YY.UTF-8")
    assert onnx_locale.settled(data) == data
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    onnx_locale.known.cache_clear()
    assert not onnx_locale.known("C.UTF-8")
    monkeypatch.undo()
    onnx_locale.known.cache_clear()
    assert onnx_locale.settled(data) != data


def test_a_pipeline_over_texts_is_packed_as_onnx_on_any_machine(tmp_path):
    """Its conversion names no locale; it would load nowhere but where en_US was installed."""
    texts = np.array(["Go to Hell", "hello World", "nice Day", "bad WORLD day"] * 10, object)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 0, 1] * 10)
    bundle = servable.pack(model, name="texts", sample=texts, output=tmp_path / "out")
    assert bundle.manifest.format == "onnx"
    with servable.load(tmp_path / "out") as loaded:
        asked = np.array(["HELL", "Nice", "ÉCOLE"], object)
        found = loaded.predict({loaded.signature.inputs[0].name: asked.reshape(-1, 1)})
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(asked), atol=1e-6)
