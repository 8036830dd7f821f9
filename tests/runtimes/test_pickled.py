"""Pickles of estimators: closed until somebody consents, then opened by the versions that made them."""

import bz2
import gzip
import io
import pickle
import random

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import servable
from servable.bundles import manifest
from servable.bundles.digest import of_tree
from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import MANIFEST
from servable.errors import (
    CorruptModel,
    DigestMismatch,
    IncompatibleModel,
    ServableError,
    UnknownFormat,
    UnsafeModel,
    UsageError,
)  # fmt: skip
from servable.runtimes.find import recognise, runtime
from servable.runtimes.pickle_file import versions

pytestmark = pytest.mark.filterwarnings("ignore")

DATA, TARGET = load_breast_cancer(return_X_y=True)


def fitted():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(DATA, TARGET)


def keep(path, output, **more):
    return servable.pack(path, name="kept", output=output, to="keep", allow_unsafe=True, **more)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pickle")
    joblib.dump(fitted(), folder / "model.joblib")
    keep(folder / "model.joblib", folder / "bundle", sample=DATA[:50])
    return folder / "bundle"


class Touching:
    """A pickle that would leave a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def changed(bundle, target, **changes):
    """A copy of a bundle with another manifest."""
    target.mkdir()
    for path in bundle.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    stated = manifest.loads((bundle / MANIFEST).read_bytes())
    (target / MANIFEST).write_bytes(manifest.dumps(msgspec.structs.replace(stated, **changes)))
    return target


def test_it_answers_as_the_estimator_does(kept):
    bundle = open_bundle(kept)
    stated = bundle.manifest
    assert (stated.format, stated.options["allow_unsafe"]) == ("pickle", True)
    assert {"scikit-learn", "numpy"} <= stated.libraries.keys()
    with servable.load(kept) as predictor:
        found = predictor.predict(DATA)
        np.testing.assert_allclose(found["probabilities"], fitted().predict_proba(DATA))
        assert found["label"].tolist() == fitted().predict(DATA).tolist()


def test_without_a_sample_the_estimator_says_what_it_takes(tmp_path):
    frame = load_iris(as_frame=True)
    joblib.dump(LogisticRegression(max_iter=500).fit(frame.data, frame.target), tmp_path / "iris.joblib")
    bundle = keep(tmp_path / "iris.joblib", tmp_path / "bundle")
    assert bundle.signature.inputs[0].features == tuple(frame.data.columns)
    with servable.load(tmp_path / "bundle") as predictor:
        assert predictor.predict(frame.data[frame.data.columns[::-1]])["label"].iloc[0] == 0


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)], ids=str)
def test_it_is_recognised_behind_every_compression(compress, tmp_path):
    for protocol in (2, 4, 5):
        joblib.dump(StandardScaler().fit(DATA), tmp_path / "m.bin", compress=compress, protocol=protocol)
        assert recognise(tmp_path / "m.bin").name == "pickle"
        assert versions((tmp_path / "m.bin").read_bytes(), "m") == (sklearn.__version__,)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, bz2.compress], ids=["plain", "gzip", "bz2"])
def test_a_pickle_that_would_make_a_file_runs_nothing(wrap, tmp_path):
    evil = tmp_path / "evil.pkl"
    evil.write_bytes(wrap(pickle.dumps(Touching(tmp_path / "touched"))))
    assert recognise(evil).name == "pickle"
    for attempt in (open_bundle, servable.load, servable.pack):
        with pytest.raises(UnsafeModel, match="allow"):
            attempt(evil)
    assert not (tmp_path / "touched").exists()


def test_a_bundle_without_consent_or_with_other_bytes_runs_nothing(kept, tmp_path):
    stated = open_bundle(kept).manifest
    options = {name: value for name, value in stated.options.items() if name != "allow_unsafe"}
    with pytest.raises(UnsafeModel, match="consented"):
        servable.load(changed(kept, tmp_path / "silent", options=options))
    swapped = changed(kept, tmp_path / "swapped")
    bundle = open_bundle(swapped)
    (swapped / "model.joblib").write_bytes(pickle.dumps(Touching(tmp_path / "touched")))
    with pytest.raises(DigestMismatch):
        runtime("pickle").load(bundle)
    with pytest.raises(DigestMismatch):
        servable.load(swapped)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("library", ["scikit-learn", "no-such-library"])
def test_another_version_is_named_before_anything_is_opened(library, kept, tmp_path):
    stated = open_bundle(kept).manifest
    old = changed(kept, tmp_path / "old", libraries={**stated.libraries, library: "0.20.2"})
    with pytest.raises(IncompatibleModel, match=rf"{library} 0\.20\.2, and {library} .*install") as caught:
        servable.load(old)
    assert "--requirements" in caught.value.message


def test_the_version_inside_counts_too(tmp_path):
    evil = tmp_path / "evil.pkl"
    evil.write_bytes(pickle.dumps([{"_sklearn_version": "0.20.2"}, Touching(tmp_path / "touched")]))
    with pytest.raises(IncompatibleModel, match=r"scikit-learn 0\.20\.2, and scikit-learn \d"):
        runtime("pickle").declared(evil)
    assert not (tmp_path / "touched").exists()


def test_transformers_that_come_first_and_modules_lie_beside_it(tmp_path):
    texts = ["a good day", "a bad day", "good", "bad"]
    (tmp_path / "lengths.py").write_text(
        "import numpy as np\n"
        "class Lengths:\n"
        "    def transform(self, texts):\n"
        "        return np.array([[len(text), text.count('good')] for text in texts])\n"
    )
    (tmp_path / "make.py").write_text("import joblib, lengths; joblib.dump(lengths.Lengths(), 'first.joblib')")
    import subprocess
    import sys

    subprocess.run([sys.executable, "make.py"], cwd=tmp_path, check=True)
    model = LogisticRegression().fit([[10, 1], [9, 0], [4, 1], [3, 0]], ["good", "bad", "good", "bad"])
    joblib.dump(model, tmp_path / "model.joblib")
    beside = [tmp_path / "first.joblib", tmp_path / "lengths.py"]
    bundle = keep(tmp_path / "model.joblib", tmp_path / "bundle", sample=texts, include=beside)
    assert bundle.manifest.options["steps"] == ["first.joblib"]
    with servable.load(tmp_path / "bundle") as predictor:
        assert predictor.predict(pd.DataFrame({"text": texts}))["label"].tolist() == ["good", "bad", "good", "bad"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"weights": [1, 2]}, IncompatibleModel),
        ([], IncompatibleModel),
    ],
)
def test_what_is_no_estimator_is_refused(content, error, tmp_path):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(error, match="neither predict nor transform"):
        runtime("pickle").declared(tmp_path / "m.pkl")


def test_a_model_that_ends_its_process_ends_nothing_else(tmp_path):
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04cos\n_exit\nK\x07\x85R.")
    with pytest.raises(CorruptModel, match="exit code 7"):
        keep(tmp_path / "m.pkl", tmp_path / "bundle")


def test_broken_files_give_one_line_each(tmp_path):
    buffer = io.BytesIO()
    joblib.dump(fitted(), buffer, compress=3)
    raw, rng = buffer.getvalue(), random.Random(0)
    path = tmp_path / "m.joblib"
    flipped = bytearray(raw)
    flipped[rng.randrange(100, len(raw))] ^= 4
    for broken in (raw[: len(raw) // 2], bytes(flipped)):
        path.write_bytes(broken)
        with pytest.raises(ServableError) as caught:
            runtime("pickle").declared(path)
        assert "\n" not in caught.value.message
    for empty in (b"", b"\x80", b"not a model"):
        path.write_bytes(empty)
        with pytest.raises(UnknownFormat):
            recognise(path)


def test_pickles_of_pytorch_are_not_ours(tmp_path):
    torch.save({"w": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UnknownFormat, match="PyTorch"):
        recognise(tmp_path / "old.pt")


def test_conversion_is_not_asked_of_a_model_with_libraries_of_its_own(tmp_path):
    joblib.dump(fitted(), tmp_path / "m.joblib")
    (tmp_path / "requirements.txt").write_text("six==1.17.0\n")
    with pytest.raises(UsageError, match="keep"):
        servable.pack(
            tmp_path / "m.joblib", output=tmp_path / "b", to="onnx", allow_unsafe=True,
            requirements=tmp_path / "requirements.txt",
        )  # fmt: skip
    with pytest.raises(UsageError, match="code"):
        servable.pack(tmp_path / "m.joblib", output=tmp_path / "b", requirements=tmp_path / "requirements.txt")


def test_golden_rows_are_proven_at_load(kept, tmp_path):
    bundle = open_bundle(kept)
    assert bundle.manifest.golden
    model = runtime("pickle").load(bundle)
    assert model.predict(Batch({bundle.signature.inputs[0].name: DATA[:0]}, 0)).rows == 0
    other = make_pipeline(StandardScaler(), LogisticRegression(C=0.001)).fit(DATA, TARGET)
    swapped = changed(kept, tmp_path / "swapped")
    joblib.dump(other, swapped / "model.joblib")
    files = tuple(each for each in of_tree(swapped) if each.path != MANIFEST)
    (swapped / MANIFEST).write_bytes(manifest.dumps(msgspec.structs.replace(bundle.manifest, files=files)))
    with pytest.raises(IncompatibleModel, match="does not reproduce its golden rows"):
        servable.load(swapped)
