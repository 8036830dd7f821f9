"""Hugging Face folders become ONNX, from tokens to what the server answers; what is for another task is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from servable.bundles.convert_text import IDS, to_onnx
from servable.errors import ConversionRejected
from tests.runtimes.huggingface.folders import bert, saved, words

pytestmark = pytest.mark.filterwarnings("ignore")  # what other people's libraries warn of is theirs


@pytest.mark.faults
def test_a_regression(tmp_path: Path) -> None:
    model = saved(tmp_path, "BertForSequenceClassification", bert(num_labels=1), words())
    session = onnxruntime.InferenceSession(to_onnx(tmp_path))
    ids = np.random.default_rng(1).integers(0, len(words()), (4, 9))
    (found,) = session.run(["prediction"], {IDS: ids})
    with torch.inference_mode():
        expected = model(torch.from_numpy(ids)).logits[:, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_another_task_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "BertForTokenClassification", bert(), words())
    with pytest.raises(ConversionRejected, match="for token-classification: folders that embed or classify texts"):
        to_onnx(tmp_path)
