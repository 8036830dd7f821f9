"""Files of Keras and TensorFlow as TFLite: under their own names, with equal answers, or told why not."""

from pathlib import Path

import numpy as np
import pytest

from servable.bundles.convert_lite import to_tflite
from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import ConversionRejected
from servable.runtimes.find import runtime
from servable.runtimes.tflite import opened
from tests.lite import FLOWERS, network, save_odd

pytestmark = pytest.mark.filterwarnings("ignore")  # what other people's libraries warn of is theirs


@pytest.mark.parametrize("file", ["flowers.keras", "flowers.h5", "flowers"])
def test_names_and_answers_stay(file: str, tmp_path: Path) -> None:
    net = network(3)
    net.export(tmp_path / file, verbose=False) if file == "flowers" else net.save(tmp_path / file)
    kind = "tensorflow" if file == "flowers" else "keras"
    (tmp_path / "model.tflite").write_bytes(to_tflite(kind, tmp_path / file, "mine"))
    bundle = open_bundle(tmp_path / "model.tflite")
    assert bundle.manifest.options == {"signature": "mine"}
    told = runtime(kind).inspect(tmp_path / file).signature
    assert bundle.signature == told
    found = opened(bundle, bundle.model_path.read_bytes()).predict(Batch({"flower": FLOWERS}))
    np.testing.assert_allclose(found[told.outputs[0].name], net.predict(FLOWERS, verbose=0), atol=1e-6)


def test_operators_that_there_are_not_are_named(tmp_path: Path) -> None:
    save_odd(tmp_path / "odd")
    with pytest.raises(ConversionRejected, match="to TFLite: TFLite has no MatrixDeterminant"):
        to_tflite("tensorflow", tmp_path / "odd", "serving_default")
