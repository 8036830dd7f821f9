"""Texts that are made: as transformers' own pipeline makes them, in whole characters, up to a stop string."""

import numpy as np
import pytest
import torch
import transformers

from servable.domain.batch import Batch
from servable.domain.generation import Generator, Message, Prompt
from servable.errors import InvalidInput
from tests.runtimes.huggingface.folders import asked, load, pieces, saved, words

pytestmark = pytest.mark.filterwarnings("ignore")
PROMPTS = ["Once upon a time", "A model is packed once into a bundle", "Größe"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts") / "small-lm"
    config = transformers.GPT2Config(
        vocab_size=len(pieces()), n_positions=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.4,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return saved(folder, "GPT2LMHeadModel", config, pieces()), *load(folder)


def said(model, prompt, until=10**6):
    pieces = []
    model.generate(prompt, lambda piece: pieces.append(piece) or len(pieces) < until)
    return pieces


def test_rows_are_completed_as_by_the_librarys_pipeline(made):
    own, bundle, model = made
    assert isinstance(model, Generator)
    pipeline = transformers.pipeline("text-generation", model=own, tokenizer=pieces())
    found = model.predict(Batch({"prompt": np.array(PROMPTS, object)}, parameters={"max_tokens": 12}))
    assert bundle.signature.check_outputs(found) == []
    for prompt, text, read in zip(PROMPTS, found["text"], found["prompt_tokens"], strict=True):
        (expected,) = pipeline(prompt, do_sample=False, max_new_tokens=12, return_full_text=False)
        assert text == expected["generated_text"]
        assert read == len(pieces()(prompt)["input_ids"])
    assert asked(model, bundle, prompt=PROMPTS)["tokens"].max() <= 16


def test_pieces_are_whole_characters_and_end_before_a_stop_string(made):
    _, _, model = made
    whole = said(model, Prompt(PROMPTS[0], max_tokens=24, temperature=0))
    text = "".join(piece.text for piece in whole)
    assert len(whole) > 5
    assert [piece.finish for piece in whole[:-1]] == [""] * (len(whole) - 1)
    assert whole[-1].finish in {"length", "stop"}
    assert whole[-1].prompt_tokens == len(pieces()(PROMPTS[0])["input_ids"])
    stop = text[5:8]
    cut = said(model, Prompt(PROMPTS[0], max_tokens=24, temperature=0, stop=("never said", stop)))
    assert "".join(piece.text for piece in cut) == text[: text.index(stop)]
    assert cut[-1].finish == "stop"
    assert cut[-1].tokens < whole[-1].tokens


def test_who_leaves_ends_it(made):
    left = said(made[2], Prompt(PROMPTS[0], max_tokens=40, temperature=0), until=2)
    assert len(left) == 2
    assert not left[-1].finish


def test_a_conversation_goes_through_the_chat_template(made):
    _, _, model = made
    asked = Prompt(messages=(Message("user", "hello"),), max_tokens=6, temperature=0)
    plain = Prompt("<user>hello<assistant>", max_tokens=6, temperature=0)
    assert said(model, asked) == said(model, plain)


def test_a_seed_makes_the_same_text_again(made):
    _, _, model = made
    drawn = [said(model, Prompt(PROMPTS[0], max_tokens=12, seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_it_cannot_do_is_told(made):
    _, _, model = made
    with pytest.raises(InvalidInput, match="reads and writes 64"):
        said(model, Prompt("word " * 200))
    with pytest.raises(InvalidInput, match="frequency_penalty"):
        said(model, Prompt("a", frequency_penalty=1.0))
    assert said(model, Prompt("a", temperature=0))[-1].tokens <= 63


def test_a_text_becomes_another(tmp_path):
    config = transformers.BartConfig(
        vocab_size=len(words()), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=64, init_std=0.5,
        pad_token_id=0, bos_token_id=101, eos_token_id=102, decoder_start_token_id=101, forced_eos_token_id=102,
    )  # fmt: skip
    own = saved(tmp_path / "short", "BartForConditionalGeneration", config, words(), card="summarization")
    bundle, model = load(tmp_path / "short", max_tokens=10)
    texts = ["a long story about a cat", "two", "three words here"]
    found = asked(model, bundle, text=texts)["generated_text"].tolist()
    for text, mine in zip(texts, found, strict=True):
        with torch.inference_mode():
            given = words()(text, return_tensors="pt")
            made = own.generate(given["input_ids"], do_sample=False, max_new_tokens=10)
        assert mine == words().decode(made[0], skip_special_tokens=True)
