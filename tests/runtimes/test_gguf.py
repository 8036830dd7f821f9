"""A language model that somebody else made, by llama.cpp: what it says, and what becomes of broken files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.generation import Message, Piece, Prompt
from servable.errors import BundleError, CorruptModel, IncompatibleModel, InvalidInput, ModelFailed
from servable.runtimes import gguf
from servable.runtimes.find import recognise, runtime
from servable.runtimes.gguf_file import read
from tests.texts import EIGHT, FRANCE, smollm


@pytest.fixture(scope="module")
def model():
    loaded = runtime("gguf").load(open_bundle(smollm()))
    yield loaded
    loaded.close()


def made(model, prompt: Prompt) -> list[Piece]:
    pieces: list[Piece] = []

    def say(piece: Piece) -> bool:
        pieces.append(piece)
        return True

    model.generate(prompt, say)
    return pieces


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_the_file_tells_what_it_is() -> None:
    file = read(smollm())
    assert (file.version, file.architecture, file.tensors) == (3, "llama", 272)
    bundle = open_bundle(smollm())
    assert bundle.manifest.format == "gguf"
    assert bundle.manifest.options == {"context": gguf.CONTEXT, "slots": gguf.SLOTS}


def test_it_says_what_it_is_known_to_say(model) -> None:
    pieces = made(model, Prompt(FRANCE, max_tokens=8, temperature=0.0))
    assert text(pieces) == EIGHT
    assert len([piece for piece in pieces if piece.text]) == 8
    assert (pieces[-1].finish, pieces[-1].prompt_tokens, pieces[-1].tokens) == ("length", 5, 8)
    assert all(not piece.finish for piece in pieces[:-1])


def test_rows_are_completed_too(model) -> None:
    batch = Batch({"prompt": np.array([FRANCE, FRANCE], object)}, parameters={"max_tokens": 8})
    answer = model.predict(batch)
    assert answer["text"].tolist() == [EIGHT, EIGHT]
    assert answer["tokens"].tolist() == [8, 8]
    assert gguf.SIGNATURE.check_outputs(answer) == []
    with pytest.raises(InvalidInput, match="max_tokens"):
        model.predict(Batch({"prompt": np.array([FRANCE], object)}, parameters={"max_tokens": "many"}))


def test_a_stop_string_ends_it_and_is_not_part_of_it(model) -> None:
    pieces = made(model, Prompt(FRANCE, max_tokens=32, temperature=0.0, stop=("United",)))
    assert text(pieces) == EIGHT.partition("United")[0]
    assert pieces[-1].finish == "stop"


def test_a_seed_makes_it_say_the_same_again(model) -> None:
    prompt = Prompt("Once upon a time", max_tokens=12, temperature=1.5, seed=7)
    assert text(made(model, prompt)) == text(made(model, prompt))


def test_a_chat_goes_through_the_models_own_template(model) -> None:
    question = Prompt(messages=(Message("user", "What is the capital of France?"),), max_tokens=16, temperature=0.0)
    pieces = made(model, question)
    assert text(pieces)
    assert pieces[-1].prompt_tokens > 30  # the template's own words are among them


def test_who_says_no_hears_no_more(model) -> None:
    pieces: list[Piece] = []

    def say(piece: Piece) -> bool:
        pieces.append(piece)
        return len(pieces) < 3

    model.generate(Prompt("Count: 1, 2, 3,", max_tokens=500, temperature=0.0), say)
    assert len(pieces) == 3
    assert not pieces[-1].finish


def test_a_prompt_longer_than_the_context_is_the_callers_fault(model) -> None:
    with pytest.raises(InvalidInput, match="context"):
        made(model, Prompt("word " * 3000, max_tokens=1))


def test_closed_it_answers_no_more() -> None:
    closed = gguf.GgufModel(None, 1, 1)
    with pytest.raises(ModelFailed, match="closed"):
        made(closed, Prompt("x"))


def test_options_are_checked() -> None:
    bundle = open_bundle(smollm())
    bundle.manifest.options["slots"] = 0
    with pytest.raises(BundleError, match=r"options.slots is 0: expected 1 to 256"):
        runtime("gguf").load(bundle)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"GGUF" + struct.pack("<I", 1) + bytes(16), IncompatibleModel, "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0), CorruptModel, "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 5), CorruptModel, "ends in the middle"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 50), CorruptModel, "ends in the middle"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<I", 99), CorruptModel, "unknown kind 99"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 9, 1), CorruptModel, "list claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), CorruptModel, "holds no model"),
    ],
)
def test_a_broken_head_is_one_clear_error(tmp_path: Path, data: bytes, error: type[Exception], words: str) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(data)
    assert recognise(path).name == "gguf"
    with pytest.raises(error, match=words):
        open_bundle(path)


def test_a_file_that_is_cut_off_is_told_before_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(smollm().read_bytes()[: 40 << 20])
    with pytest.raises(CorruptModel, match="cut off"):
        open_bundle(path)
