"""A small network over flowers, and a function of them that TFLite cannot compute."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_iris

FLOWERS = load_iris().data[::10].astype(np.float32)


def network(seed: int) -> Any:
    """Such a network, its weights drawn by the seed."""
    import keras

    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    return keras.Sequential([keras.Input((4,), name="flower"), dense(8, "relu"), dense(3, "softmax", name="kind")])


def save_odd(folder: Path) -> None:
    """A SavedModel with a determinant."""
    import tensorflow as tf

    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="flower")])
        def asked(self, flower):  # type: ignore[no-untyped-def] # as TensorFlow traces it
            return {"y": tf.linalg.det(tf.reshape(flower, [-1, 2, 2]))}

    made = Odd()
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.asked})
