"""Entities and gaps, as transformers' own pipelines find them."""

import json

import pytest
import transformers

from servable.errors import InvalidInput
from tests.runtimes.huggingface.folders import asked, bert, load, saved, words

pytestmark = pytest.mark.filterwarnings("ignore")  # what other people's libraries warn of is theirs
TEXTS = ["Ada Lovelace lived in London", "no name", "a " * 200 + "Paris"]


def near(found, expected):
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            assert mine[key] == (pytest.approx(float(value), abs=1e-5) if key == "score" else value)


@pytest.mark.parametrize("aggregation", ["simple", "none", "max"])
def test_entities_are_those_of_the_librarys_pipeline(aggregation, tmp_path):
    config = bert(id2label={0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC"})
    made = saved(tmp_path / "ner", "BertForTokenClassification", config, words())
    bundle, model = load(tmp_path / "ner", aggregation=aggregation)
    found = asked(model, bundle, text=TEXTS)["entities"].tolist()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "ner", model_max_length=64)
    pipeline = transformers.pipeline(
        "token-classification", model=made, tokenizer=tokenizer, aggregation_strategy=aggregation
    )
    for mine, theirs in zip(found, pipeline(TEXTS), strict=True):
        near(json.loads(mine), theirs)
    assert json.loads(found[0])


def test_gaps_are_filled_as_by_the_librarys_pipeline(tmp_path):
    made = saved(tmp_path / "gaps", "BertForMaskedLM", bert(), words(), card="fill-mask")
    bundle, model = load(tmp_path / "gaps", top=3)
    texts = ["The [MASK] is here.", "Nothing is missing."]
    found = asked(model, bundle, text=texts)
    expected = transformers.pipeline("fill-mask", model=made, tokenizer=words())(texts[0], top_k=3)
    near(json.loads(found["candidates"][0]), expected)
    assert found["filled"].tolist() == [expected[0]["sequence"], texts[1]]
    with pytest.raises(InvalidInput, match=r"one \[MASK\] in a text, got 2"):
        asked(model, bundle, text=["[MASK] and [MASK]"])


def test_without_a_card_such_a_model_embeds(tmp_path):
    saved(tmp_path / "gaps", "BertForMaskedLM", bert(), words())
    bundle, model = load(tmp_path / "gaps")
    assert asked(model, bundle, text=["a"])["embedding"].shape == (1, 16)
