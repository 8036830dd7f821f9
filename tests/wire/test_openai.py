"""OpenAI's bodies, read and written without a server."""

from __future__ import annotations

import json

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.generation import Message, Piece
from servable.domain.signature import Signature
from servable.errors import InvalidInput, NotFound, Overloaded, Unauthenticated
from servable.wire import openai, openai_embeddings

MOST = 100


def read(chat: bool = False, **body: object) -> openai.Request:
    plain = {"model": "m", "messages": [{"role": "user", "content": "hm"}]} if chat else {"model": "m", "prompt": "hm"}
    return (openai.chat if chat else openai.completion)(json.dumps(plain | body).encode(), MOST)


def test_what_is_left_out_has_the_protocols_defaults() -> None:
    asked = read()
    assert (asked.model, asked.stream, asked.usage, asked.chat) == ("m", False, False, False)
    assert (asked.prompts[0].max_tokens, asked.prompts[0].temperature, asked.prompts[0].top_p) == (16, 1.0, 1.0)
    assert (asked.prompts[0].seed, asked.prompts[0].stop) == (None, ())
    assert read(chat=True).prompts[0].max_tokens == MOST


def test_null_is_what_is_left_out() -> None:
    words = (
        "max_tokens",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "n",
        "suffix",
        "logprobs",
    )
    assert read(**dict.fromkeys(words)) == read()


def test_messages_become_a_conversation() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    turns = [{"role": "developer", "content": "be kind"}, {"role": "user", "content": parts}]
    assert read(chat=True, messages=turns).prompts[0].messages == (Message("system", "be kind"), Message("user", "ab"))


def test_every_fault_is_in_one_refusal() -> None:
    with pytest.raises(InvalidInput) as refused:
        read(temperature=9, n=0, stop=[""], prompt=7, colour="red")
    assert len(refused.value.detail["faults"]) == 5
    assert refused.value.detail["example"]["prompt"]


def test_chunks_put_together_are_the_answer() -> None:
    asked = read(chat=True, stream=True, stream_options={"include_usage": True})
    written = openai.Answer(asked, "7", 1, {"model": "m"})
    last = Piece("", "stop", 3, 2)
    chunks = [*written.opening(), written.chunk(Piece("a")), written.chunk(last), *written.closing([last])]
    assert [chunk["choices"] and chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""}, {"content": "a"}, {}, [],
    ]  # fmt: skip
    assert [chunk["usage"] for chunk in chunks] == [None, None, None, openai.usage_of([last])]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-7"}
    assert written.whole([("a", last)])["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidInput("x"), "invalid_request_error"),
        (Unauthenticated("x"), "authentication_error"),
        (NotFound("x"), "not_found_error"),
        (Overloaded("x"), "server_error"),
    ],
)
def test_errors_have_the_protocols_words(error, kind) -> None:
    told = openai.error_of(error)["error"]
    assert (told["message"], told["type"], told["code"]) == ("x", kind, error.code)


def test_which_models_embed_is_told_by_their_signature() -> None:
    text, vector = Field("t", "BYTES"), Field("v", "FP32", (-1, 3))
    assert openai_embeddings.vectors_of(Signature((text,), (vector, Field("tokens", "INT64")))) == (text, vector)
    for wrong in (
        Signature((text, Field("u", "BYTES")), (vector,)),
        Signature((Field("x", "FP32"),), (vector,)),
        Signature((text,), (Field("label", "BYTES"),)),
        Signature((text,), (vector, Field("w", "FP32", (-1, 2)))),
    ):
        assert openai_embeddings.vectors_of(wrong) is None


def test_a_model_without_a_count_tells_no_usage() -> None:
    text, vector = Field("t", "BYTES"), Field("v", "FP32", (-1, 2))
    asked = openai_embeddings.asked_of(b'{"model": "m", "input": "a"}')
    fields = openai_embeddings.Vectors(text, vector)
    told = openai_embeddings.encode(Batch({"v": np.ones((1, 2), np.float32)}), asked, fields, {"model": "m"})
    assert told["data"] == [{"object": "embedding", "index": 0, "embedding": [1.0, 1.0]}]
    assert "usage" not in told


def test_several_texts_of_several_prompts() -> None:
    asked = read(prompt=["a", "b"], n=2, seed=5)
    assert [(one.text, one.seed) for one in asked.prompts] == [("a", 5), ("a", 6), ("b", 5), ("b", 6)]
    written = openai.Answer(asked, "7", 1, {"model": "m"})
    told = written.whole([(text, Piece("", "stop", 3, 2)) for text in "wxyz"])
    assert [(choice["index"], choice["text"]) for choice in told["choices"]] == list(enumerate("wxyz"))
    assert told["usage"] == {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14}
    assert written.chunk(Piece("w"), 3)["choices"][0]["index"] == 3
    chat = openai.Answer(read(chat=True, n=3), "7", 1, {"model": "m"})
    assert [chunk["choices"][0]["index"] for chunk in chat.opening()] == [0, 1, 2]


def test_more_texts_than_one_request_may_have() -> None:
    with pytest.raises(InvalidInput, match="n: expected at most 128 texts, got 2 prompts times 65"):
        read(prompt=["a", "b"], n=65)
    with pytest.raises(InvalidInput, match="n: expected at most 128"):
        read(prompt=["a"] * 129)
