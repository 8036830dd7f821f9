"""Answers inside a text, held against every span that there is; labels that come with the request."""

import json

import numpy as np
import pytest
import torch
import transformers

from servable.bundles.open import open_bundle
from servable.errors import IncompatibleModel, InvalidInput
from tests.runtimes.huggingface.folders import asked, bert, load, saved, words

pytestmark = pytest.mark.filterwarnings("ignore")
CONTEXT = "Ada Lovelace wrote about the engine. She lived in London, and died there in 1852."


@pytest.mark.parametrize("longest", [15, 2])
def test_an_answer_is_the_likeliest_span(longest, tmp_path):
    made = saved(tmp_path / "qa", "BertForQuestionAnswering", bert(), words())
    bundle, model = load(tmp_path / "qa", longest=longest)
    found = asked(model, bundle, question=["Who wrote?", "Where?"], context=[CONTEXT, CONTEXT])
    for row, question in enumerate(["Who wrote?", "Where?"]):
        given = words()(question, CONTEXT, return_tensors="pt", return_offsets_mapping=True)
        spans = given.pop("offset_mapping")[0].tolist()
        inside = [at for at, part in enumerate(given.sequence_ids(0)) if part == 1]
        with torch.inference_mode():
            answer = made(**given)
        first, last = (part[0, inside].softmax(0).double() for part in (answer.start_logits, answer.end_logits))
        score, start, end = max(
            (float(first[a] * last[b]), a, b)
            for a in range(len(inside))
            for b in range(a, min(a + longest, len(inside)))
        )
        assert found["score"][row] == pytest.approx(score, rel=1e-4)
        assert (found["start"][row], found["end"][row]) == (spans[inside[start]][0], spans[inside[end]][1])
        assert found["answer"][row] == CONTEXT[found["start"][row] : found["end"][row]]


def test_a_long_text_is_read_in_windows_and_an_empty_one_has_no_answer(tmp_path):
    saved(tmp_path / "qa", "BertForQuestionAnswering", bert(), words())
    bundle, model = load(tmp_path / "qa")
    long = " ".join(f"word{number}" for number in range(300))
    found = asked(model, bundle, question=["What?", "What?"], context=[long, ""])
    assert found["answer"][0] == long[found["start"][0] : found["end"][0]] != ""
    assert (found["answer"][1], found["score"][1]) == ("", 0)


def test_labels_of_the_request_are_judged_as_by_the_librarys_pipeline(tmp_path):
    config = bert(id2label={0: "contradiction", 1: "neutral", 2: "entailment"},
                  label2id={"contradiction": 0, "neutral": 1, "entailment": 2})  # fmt: skip
    made = saved(tmp_path / "nli", "BertForSequenceClassification", config, words(), card="zero-shot-classification")
    bundle, model = load(tmp_path / "nli", template="It is about {}.")
    found = asked(model, bundle, text=["a match in the rain", "votes"], labels=["sport, politics,weather", "sport"])
    pipeline = transformers.pipeline("zero-shot-classification", model=made, tokenizer=words())
    expected = pipeline("a match in the rain", ["sport", "politics", "weather"], hypothesis_template="It is about {}.")
    assert found["label"][0] == expected["labels"][0]
    scores = json.loads(found["scores"][0])
    assert list(scores) == expected["labels"]
    np.testing.assert_allclose(list(scores.values()), expected["scores"], atol=1e-5)
    with pytest.raises(InvalidInput, match="one or more labels"):
        asked(model, bundle, text=["a"], labels=[" , "])


def test_a_model_that_judges_no_entailment_is_refused(tmp_path):
    saved(tmp_path / "m", "BertForSequenceClassification", bert(), words(), card="zero-shot-classification")
    with pytest.raises(IncompatibleModel, match="no label 'entailment'"):
        open_bundle(tmp_path / "m")
