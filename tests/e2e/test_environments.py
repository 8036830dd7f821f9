"""Pickles that others published, each on the version of scikit-learn that made it, side by side in one server."""

from __future__ import annotations

from pathlib import Path

import pytest

import servable
from servable.errors import BundleError
from tests.assets import wheel
from tests.e2e.serving import Serving

ANSWERS = {"1.9.1": 0.999375, "1.8.0": 0.999383, "1.6.1": 0.999358}
SAID = ["go to hell, you scum", "hello there, how are you", "what a lovely day"]


@pytest.mark.faults
@pytest.mark.timeout(1800)  # three environments with scikit-learn are made
def test_three_versions_of_scikit_learn_serve_side_by_side(tmp_path: Path) -> None:
    bundles = []
    for version in ANSWERS:
        data = wheel(f"alt-profanity-check=={version}") / "profanity_check" / "data"
        requirements = tmp_path / f"{version}.txt"
        requirements.write_text(f"scikit-learn=={version}\n")
        bundle = servable.pack(
            data / "model.joblib", name=f"profanity-{version}", sample=SAID, include=[data / "vectorizer.joblib"],
            requirements=requirements, allow_unsafe=True, home=tmp_path / "home", output=tmp_path / version,
        )  # fmt: skip
        assert bundle.manifest.format == "pickle"
        assert bundle.manifest.libraries["scikit-learn"] == version
        bundles.append(bundle.folder)
    with Serving(tmp_path, *bundles, workers=1) as serving:
        serving.ready()
        for version, expected in ANSWERS.items():
            tensor = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": SAID[:1]}
            status, answer = serving.ask("POST", f"/v2/models/profanity-{version}/infer", {"inputs": [tensor]})
            assert status == 200, answer
            (output,) = [each for each in answer["outputs"] if each["name"] == "probabilities"]
            assert round(output["data"][1], 6) == expected


def test_pickles_of_long_ago_are_refused_and_both_versions_named(tmp_path: Path) -> None:
    data = wheel("profanity-check==1.0.3") / "profanity_check" / "data"
    for name in ("model.joblib", "vectorizer.joblib"):
        with pytest.raises(BundleError, match=r"scikit-learn 0\.20\.\S+, and scikit-learn \d\S* is installed"):
            servable.pack(data / name, sample=SAID, to="keep", allow_unsafe=True, output=tmp_path / "bundle")
