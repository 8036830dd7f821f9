"""Formats are recognised by content; what is none is named for what it looks like."""

import gzip
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest

from servable.errors import EnvironmentFault, UnknownFormat
from servable.runtimes import find
from servable.runtimes.find import recognise, runtime, runtimes
from tests.packed import scaler

BUILT_IN = {"onnx", "xgboost", "lightgbm", "catboost", "sklearn"}


def test_the_built_in_formats_come_in_by_the_door_for_all():
    assert set(runtimes()) >= BUILT_IN
    for name, found in runtimes().items():
        assert found.name == name
        assert runtime(name) is found


def test_an_unknown_format_lists_those_there_are():
    with pytest.raises(UnknownFormat, match=r"onnx.*xgboost"):
        runtime("no-such-format")


def npy():
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


def npz():
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    return out.getvalue()


def zipped(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return out.getvalue()


def tarred():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"", "an empty file"),
        (b"   \n", "blank text"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page"),
        (b"\n  <html lang='en'>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"ZF0x" + bytes(40), "a pickle, which runs code"),
        (gzip.compress(b"x"), "gzip"),
        (zipped("readme.txt"), "a zip archive (readme.txt)"),
        (zipped("archive/data.pkl", "archive/version"), "a PyTorch file"),
        (zipped("x")[:-10], "a broken or cut off zip file"),
        (npy(), "a numpy array"),
        (npz(), "a numpy .npz archive"),
        (tarred(), "a tar archive"),
        (b"PAR1\x15\x04", "a Parquet table"),
        (b"\x40\0\0\0\0\0\0\0" + b'{"weight":{"dtype":"F32"}}', "a safetensors file"),
        (b"%PDF-1.7", "a PDF"),
        (b"<?xml version='1.0'?><note/>", "an XML document"),
        (json.dumps({"weights": [1, 2]}).encode(), "JSON"),
        (b"age,sex,survived\n22,male,0\n", "plain text that starts with 'age,sex,survived'"),
        (bytes(range(200, 256)) * 3, "unknown binary data"),
        (b"binf" + bytes(20), "old binary format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # some contents hold the time, which no test's name may
)
@pytest.mark.parametrize("name", ["model", "model.onnx", "model.json"])
def test_what_is_no_model_is_named_for_what_it_is(content, looks, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnknownFormat) as caught:
        recognise(tmp_path / name)
    assert looks in caught.value.message
    assert name in caught.value.message


def test_a_folder_is_named_for_what_is_in_it(tmp_path):
    with pytest.raises(UnknownFormat, match="an empty folder"):
        recognise(tmp_path)
    (tmp_path / "MLmodel").write_text("flavors: {}")
    assert recognise(tmp_path).name == "mlflow"


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(UnknownFormat, match="no file or folder"):
        recognise(tmp_path / "absent.onnx")


def test_an_extension_decides_nothing(tmp_path):
    scaler(tmp_path / "model.onnx").rename(tmp_path / "model.html")
    assert recognise(tmp_path / "model.html").name == "onnx"


class Point:
    """An entry point of a stranger's package."""

    def __init__(self, name, load):
        self.name, self.value, self.load = name, f"stranger:{name}", load


class Greedy:
    name = "greedy"

    def recognises(self, path, head):
        return True


def broken():
    raise ImportError("no module named acme")


@pytest.fixture
def strangers(monkeypatch):
    def install(*points):
        known = find._points()
        monkeypatch.setattr(find, "_points", lambda: {**known, **{point.name: point for point in points}})
        runtime.cache_clear()

    yield install
    runtime.cache_clear()


def test_a_broken_plugin_breaks_only_itself(strangers, tmp_path):
    strangers(Point("acme", broken))
    assert "acme" not in runtimes()
    assert recognise(scaler(tmp_path / "model.onnx")).name == "onnx"
    with pytest.raises(EnvironmentFault, match=r"acme.*no module named acme"):
        runtime("acme")


def test_two_that_claim_a_file_are_both_named(strangers, tmp_path):
    strangers(Point("greedy", lambda: Greedy))
    with pytest.raises(UnknownFormat, match=r"greedy, onnx|onnx, greedy"):
        recognise(scaler(tmp_path / "model.onnx"))
