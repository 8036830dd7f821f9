"""Models that others trained and published, packed as a user would."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import servable
from servable.errors import BundleError, InvalidInput, UnsafeModel
from tests.assets import wheel

pytestmark = pytest.mark.filterwarnings("ignore")

SAID = ["go to hell, you scum", "hello there, how are you", "what a lovely day", "damn this thing", "", "Größe 42 ok"]


def profanity(version):
    return wheel(f"{'alt-' if version != '1.0.3' else ''}profanity-check=={version}") / "profanity_check" / "data"


@pytest.mark.parametrize("to", ["auto", "keep"])
def test_a_published_judge_of_words_says_what_its_makers_say(to, tmp_path):
    folder = profanity("1.9.1")
    model = make_pipeline(joblib.load(folder / "vectorizer.joblib"), joblib.load(folder / "model.joblib"))
    bundle = servable.pack(model, name="profanity", sample=SAID, output=tmp_path / "m", to=to)
    (field,) = bundle.signature.inputs
    assert (field.name, field.describe()) == ("text", "BYTES [-1, 1]")
    with servable.load(tmp_path / "m") as predictor:
        found = predictor.predict(SAID)
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(SAID), atol=1e-5)
        assert found["probabilities"][0, 1] == pytest.approx(0.999375, abs=1e-6)
        frame = predictor.predict(pd.DataFrame({"text": SAID}))
        assert frame["label"].tolist() == model.predict(SAID).tolist()
        with pytest.raises(InvalidInput):
            predictor.predict({"text": [None]})


def test_texts_are_counted_the_same_however_the_model_is_kept(tmp_path):
    target = [1, 0, 0, 1, 0, 0]
    for vectorizer in (TfidfVectorizer(ngram_range=(1, 2)), HashingVectorizer(n_features=64)):
        model = make_pipeline(vectorizer, LogisticRegression()).fit(SAID, target)
        folder = tmp_path / type(vectorizer).__name__
        servable.pack(model, name="words", sample=pd.Series(SAID), output=folder)
        with servable.load(folder) as predictor:
            found = predictor.predict([*SAID, "a sentence nobody sent"])
            expected = model.predict_proba([*SAID, "a sentence nobody sent"])
            np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("version", "name", "says"),
    [
        ("1.0.3", "model.joblib", "scikit-learn 0.20"),
        ("1.0.3", "vectorizer.joblib", "scikit-learn 0.20"),
        ("1.8.0", "model.joblib", "scikit-learn 1.8"),
        ("1.6.1", "vectorizer.joblib", "scikit-learn 1.6"),
    ],
)
def test_a_pickle_of_another_time_is_refused_and_both_versions_named(version, name, says, tmp_path):
    path = profanity(version) / name
    with pytest.raises(UnsafeModel, match="allow_unsafe"):
        servable.pack(path, name="old", sample=SAID, output=tmp_path / "m")
    with pytest.raises(BundleError) as caught:
        servable.pack(path, name="old", sample=SAID, output=tmp_path / "m", allow_unsafe=True)
    assert name in caught.value.message
    assert says in caught.value.message
    assert not (tmp_path / "m").exists()


SLEEPERS = ["eeg", "eeg+demo", "eeg+emg", "eeg+emg+demo", "eeg+eog", "eeg+eog+demo", "eeg+eog+emg", "eeg+eog+emg+demo"]


@pytest.mark.parametrize(
    "sensors", [SLEEPERS[0], *(pytest.param(name, marks=pytest.mark.faults) for name in SLEEPERS[1:])]
)
def test_sleep_is_scored_as_its_makers_score_it(sensors, tmp_path):
    """LightGBM by joblib: 65 to 151 named features, sleep stages as classes. Missing values, and columns turned."""
    path = wheel("yasa==0.8.1") / "yasa" / "classifiers" / f"clf_{sensors}_lgb_0.5.0.joblib"
    model = joblib.load(path)
    names = list(model.feature_name_)
    assert 65 <= len(names) <= 151
    random = np.random.default_rng(0)
    night = pd.DataFrame(random.normal(size=(60, len(names))), columns=names)
    night = night.mask(random.random(night.shape) < 0.02)
    bundle = servable.pack(path, name="sleep", sample=night, output=tmp_path / "m", allow_unsafe=True)
    assert bundle.manifest.format in {"onnx", "lightgbm"}  # what is served holds no code
    (field,) = bundle.signature.inputs
    assert field.features == tuple(names)
    assert bundle.manifest.labels["probabilities"] == tuple(model.classes_)
    with servable.load(tmp_path / "m") as predictor:
        found = predictor.predict(night[names[::-1]])
        assert found["label"].tolist() == model.predict(night).tolist()
        np.testing.assert_allclose(found.to_numpy()[:, 1:].astype(float), model.predict_proba(night), atol=1e-5)
