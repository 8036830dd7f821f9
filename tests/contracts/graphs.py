"""Golden models of the frameworks that are slow to import: TensorFlow, Keras, PyTorch. Trained on real digits."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle

ROWS = 6


def _digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return (data.data / 16).astype(np.float32), data.target


def tensorflow(folder: Path) -> tuple[Bundle, Batch, dict[str, np.ndarray]]:
    import tensorflow as tf

    pictures, _ = _digits()
    weights = tf.Variable(np.linalg.lstsq(pictures, np.eye(10, dtype=np.float32)[_digits()[1]], rcond=None)[0])
    module = tf.Module()
    module.weights = weights
    module.scores = tf.function(
        lambda picture: {"scores": tf.nn.softmax(picture @ weights)},
        input_signature=[tf.TensorSpec([None, 64], tf.float32, "picture")],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.scores})
    expected = module.scores(tf.constant(pictures[:ROWS]))["scores"].numpy()
    return open_bundle(folder), Batch({"picture": pictures[:ROWS]}), {"scores": expected}


def keras(folder: Path) -> tuple[Bundle, Batch, dict[str, np.ndarray]]:
    import keras as library

    library.utils.set_random_seed(0)
    pictures, target = _digits()
    net = library.Sequential([library.Input((64,), name="picture"), library.layers.Dense(10, "softmax", name="digit")])
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(pictures, target, epochs=1, verbose=0)
    folder.mkdir()
    net.save(folder / "golden.keras")
    bundle = open_bundle(folder / "golden.keras")
    expected = net.predict(pictures[:ROWS], verbose=0)
    rows = Batch({bundle.signature.inputs[0].name: pictures[:ROWS]})
    return bundle, rows, {bundle.signature.outputs[0].name: expected}


def pytorch(folder: Path) -> tuple[Bundle, Batch, dict[str, np.ndarray]]:
    import torch

    torch.manual_seed(0)
    pictures, target = _digits()
    net = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.tensor(pictures)), torch.tensor(target)).backward()
        optimizer.step()
    rows = torch.export.Dim("rows")
    program = torch.export.export(net.eval(), (torch.tensor(pictures[:2]),), dynamic_shapes=({0: rows},))
    folder.mkdir()
    torch.export.save(program, str(folder / "golden.pt2"))
    bundle = open_bundle(folder / "golden.pt2")
    with torch.inference_mode():
        expected = net(torch.tensor(pictures[:ROWS])).numpy()
    return bundle, Batch({bundle.signature.inputs[0].name: pictures[:ROWS]}), {"output": expected}
