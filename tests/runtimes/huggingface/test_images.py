"""Pictures, judged as by transformers' own pipeline."""

import numpy as np
import pytest
import transformers
from PIL import Image

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import IncompatibleModel
from tests.runtimes.huggingface.folders import load, saved

pytestmark = pytest.mark.filterwarnings("ignore")
CONFIG = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
          "image_size": 8, "patch_size": 4, "initializer_range": 0.5}  # fmt: skip


def test_pictures_are_classified_as_by_the_librarys_pipeline(tmp_path):
    labels = ["cat", "dog", "neither"]
    config = transformers.ViTConfig(
        **CONFIG, id2label=dict(enumerate(labels)), label2id={label: at for at, label in enumerate(labels)}
    )
    own = saved(tmp_path / "vit", "ViTForImageClassification", config)
    transformers.ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(tmp_path / "vit")
    bundle, model = load(tmp_path / "vit")
    pictures = np.random.default_rng(0).integers(0, 256, (11, 20, 30, 3), np.uint8)
    batch = Batch({"image": pictures})
    assert bundle.signature.check(batch) == []
    found = model.predict(batch)
    assert bundle.signature.check_outputs(found) == []
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "vit")
    pipeline = transformers.pipeline("image-classification", model=own, image_processor=processor)
    for picture, label, shares in zip(pictures, found["label"], found["probabilities"], strict=True):
        theirs = pipeline(Image.fromarray(picture), top_k=3)
        assert label == theirs[0]["label"]
        np.testing.assert_allclose(
            shares, [next(each["score"] for each in theirs if each["label"] == name) for name in labels], atol=1e-6
        )
    assert model.predict(batch.slice(0, 0)).rows == 0


def test_a_model_of_pictures_for_something_else_is_refused(tmp_path):
    saved(tmp_path / "vit", "ViTModel", transformers.ViTConfig(**CONFIG))
    transformers.ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(tmp_path / "vit")
    with pytest.raises(IncompatibleModel, match="ViTModel"):
        open_bundle(tmp_path / "vit")
