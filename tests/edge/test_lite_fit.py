"""A network goes to phones as TFLite in fewer bits: each variant is measured by LiteRT, the chosen one is what goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import servable
from servable.bundles.load import load
from servable.domain.batch import Batch
from servable.edge.export import export
from servable.edge.fit import Fit
from servable.edge.policy import Limits
from servable.runtimes import tflite_file

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # what others' libraries warn of is theirs
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a network that reads digits."""
    import keras

    keras.utils.set_random_seed(0)
    rows, known = load_digits(return_X_y=True)
    dense = keras.layers.Dense
    net = keras.Sequential(
        [keras.Input((64,), name="pixels"), dense(96, "relu"), dense(96, "relu"), dense(10, "softmax", name="digit")]
    )
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(rows / 16, known, epochs=8, verbose=0)
    folder = tmp_path_factory.mktemp("digits")
    net.save(folder / "digits.keras")
    sample = {"pixels": (rows[::6] / 16).astype(np.float32)}
    servable.pack(folder / "digits.keras", name="digits", sample=sample, to="keep", output=folder / "bundle")
    return folder / "bundle"


def test_every_variant_is_measured_and_the_smallest_allowed_one_goes(digits: Path, tmp_path: Path) -> None:
    rows = Batch({"pixels": (load_digits().data[1::5] / 16).astype(np.float32)})
    with load(digits) as predictor:
        made = export(predictor, "1", tmp_path / "phones", target="mobile", fit=Fit(Limits(max_loss=0.3), rows=rows))
    assert made.proven
    table = {each.variant: each for each in made.table}
    assert list(table) == ["original", "float16", "int8", "int8-static"]
    assert not any(each.fault for each in table.values())
    assert all(each.latency_ms is not None and each.latency_ms > 0 for each in table.values())
    whole = table["original"].bytes
    assert table["float16"].bytes < 0.6 * whole
    assert max(table["int8"].bytes, table["int8-static"].bytes) < 0.45 * whole
    assert 0 < table["float16"].loss < table["int8"].loss < 0.3
    assert 0 < table["int8-static"].loss < 0.3
    chosen = table[made.variant]
    assert chosen.bytes == min(each.bytes for each in table.values())
    file = (tmp_path / "phones" / "model.tflite").read_bytes()
    assert len(file) == chosen.bytes
    there = tflite_file.interpreter(file, 1, "model.tflite")
    assert {np.dtype(each["dtype"]) for each in there.get_tensor_details()} >= {np.dtype(np.int8)}
    assert [each["dtype"] for each in there.get_input_details()] == [np.float32]
