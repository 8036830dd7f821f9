"""OpenAI's routes, asked by OpenAI's own client: a real language model behind a real door."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

from servable.server.access.keys import Keys
from tests.custom import custom
from tests.server.declared import models
from tests.server.rest_served import Served, served
from tests.texts import EIGHT, FRANCE, smollm

LENGTHS = """
import numpy as np
import servable

class Lengths(servable.PythonModel):
    inputs = {"text": "BYTES"}
    outputs = {"vector": "FP32 [-1, 2]", "tokens": "INT64"}

    def predict(self, batch):
        texts = batch["text"].tolist()
        vectors = np.array([[len(text), text.count(" ")] for text in texts], np.float32)
        return {"vector": vectors, "tokens": np.array([text.count(" ") + 1 for text in texts])}
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    known = {
        "smollm": {"1": smollm()},
        "lengths": {"1": custom(home / "lengths", LENGTHS)},
        "linear": models(home)["linear"],
    }
    with served(home, known, max_tokens=600) as door:
        yield door


@pytest.fixture(scope="module")
def client(door: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def stats(door: Served, name: str = "smollm"):
    return door.host.table[name].versions["1"].stats


def eventually(holds) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_text_is_continued(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="smollm", prompt=FRANCE, max_tokens=8, temperature=0)
    assert answer.choices[0].text == EIGHT
    assert answer.choices[0].finish_reason == "length"
    assert answer.object == "text_completion"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 8, 13)
    assert (answer.model, answer.model_version) == ("smollm", "1")
    assert answer.id.startswith("cmpl-")


def test_a_text_is_streamed(client: openai.OpenAI) -> None:
    chunks = list(
        client.completions.create(
            model="smollm:1",
            prompt=[FRANCE],
            max_tokens=8,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == EIGHT
    assert len(chunks) > 5
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "length"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 13
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_chat_is_answered_and_streamed(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": text} for text in ("What is the capital ", "of France?")]
    asked = {
        "model": "smollm",
        "messages": [
            {"role": "developer", "content": "Answer in one word."},
            {"role": "user", "content": parts},
        ],
        "max_completion_tokens": 12,
        "temperature": 0,
        "seed": 1,
    }  # fmt: skip
    answer = client.chat.completions.create(**asked)
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.prompt_tokens > 20
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert told == answer.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == answer.choices[0].finish_reason
    assert chunks[-1].choices[0].delta.content is None
    assert all(chunk.usage is None for chunk in chunks)


def test_the_stream_is_events_that_end_with_done(door: Served) -> None:
    body = {"model": "smollm", "prompt": FRANCE, "max_tokens": 2, "temperature": 0, "stream": True}
    answer = door.post("/v1/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(event.removeprefix("data: "))["choices"] for event in events[:-2])


def test_stop_strings(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="smollm", prompt=FRANCE, max_tokens=32, temperature=0, stop=["United"])
    assert answer.choices[0].text == EIGHT.partition("United")[0]
    assert answer.choices[0].finish_reason == "stop"


def test_who_hangs_up_stops_the_text(door: Served) -> None:
    body = {"model": "smollm", "prompt": "Count: 1, 2, 3,", "max_tokens": 600, "stream": True, "temperature": 0}
    before = stats(door).cancelled
    with httpx.Client() as own, own.stream("POST", f"{door.url}/v1/completions", json=body) as answer:
        assert next(answer.iter_lines()).startswith("data: ")
    eventually(lambda: stats(door).cancelled == before + 1)
    assert door.host.table["smollm"].versions["1"].generations.active == 0
    with httpx.Client(timeout=0.3) as own, pytest.raises(httpx.ReadTimeout):
        own.post(f"{door.url}/v1/completions", json={**body, "stream": False})
    eventually(lambda: stats(door).cancelled == before + 2)


def test_several_at_once_get_what_each_gets_alone(client: openai.OpenAI) -> None:
    prompts = [FRANCE, "Water boils at", "Two plus two is", "The opposite of hot is", "My favourite colour is", "A dog"]

    def ask(prompt: str) -> str:
        return client.completions.create(model="smollm", prompt=prompt, max_tokens=4, temperature=0).choices[0].text

    alone = [ask(prompt) for prompt in prompts]
    together: dict[str, str] = {}
    threads = [threading.Thread(target=lambda p=prompt: together.update({p: ask(p)})) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[prompt] for prompt in prompts] == alone


def test_several_prompts_and_several_texts_of_each(client: openai.OpenAI, door: Served) -> None:
    prompts = [FRANCE, "Water boils at"]
    asked = {"model": "smollm", "prompt": prompts, "max_tokens": 8, "temperature": 0, "n": 3}
    answer = client.completions.create(**asked)
    assert [choice.index for choice in answer.choices] == list(range(6))
    assert [choice.text for choice in answer.choices[:3]] == [EIGHT] * 3
    assert len({choice.text for choice in answer.choices[3:]}) == 1
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5 + 3, 6 * 8)
    told = dict.fromkeys(range(6), "")
    last = None
    for last in client.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        for choice in last.choices:
            told[choice.index] += choice.text
    assert list(told.values()) == [choice.text for choice in answer.choices]
    assert last.usage == answer.usage
    eventually(lambda: door.host.table["smollm"].versions["1"].generations.active == 0)


def test_several_answers_to_a_chat_are_drawn_apart(client: openai.OpenAI) -> None:
    turns = [{"role": "user", "content": "Name an animal."}]
    asked = {"model": "smollm", "messages": turns, "max_tokens": 12, "temperature": 1.5, "n": 4, "seed": 3}
    answer = client.chat.completions.create(**asked)
    assert len({choice.message.content for choice in answer.choices}) > 1
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert [chunk.choices[0].delta.role for chunk in chunks[:5]] == ["assistant"] * 4 + [None]
    assert {chunk.choices[0].index for chunk in chunks if chunk.choices[0].finish_reason} == {0, 1, 2, 3}


def test_who_hangs_up_stops_all_texts_of_a_request(door: Served) -> None:
    body = {"model": "smollm", "prompt": ["Count: 1, 2, 3,"] * 6, "max_tokens": 600, "stream": True, "temperature": 0}
    before = stats(door).cancelled
    with httpx.Client(timeout=60) as own, pytest.raises(httpx.ReadTimeout):  # two wait for a slot: none has begun
        own.post(f"{door.url}/v1/completions", json=body, timeout=1)
    eventually(lambda: stats(door).cancelled == before + 6)
    assert door.host.table["smollm"].versions["1"].generations.active == 0
    with (
        httpx.Client() as own,
        own.stream("POST", f"{door.url}/v1/completions", json={**body, "n": 1, "prompt": ["1, 2,"] * 3}) as answer,
    ):
        assert next(answer.iter_lines()).startswith("data: ")
    eventually(lambda: stats(door).cancelled == before + 9)
    assert door.host.table["smollm"].versions["1"].generations.active == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"n": 0}, "n: expected `int` >= 1"),
        ({"n": 129}, "n: expected at most 128"),
        ({"logprobs": 3}, "logprobs: not offered"),
        ({"echo": True}, "echo: not offered"),
        ({"suffix": "x"}, "suffix: not offered"),
        ({"temperature": 3}, "temperature: expected `float` <= 2"),
        ({"max_tokens": 0}, "max_tokens: expected `int` >= 1"),
        ({"max_tokens": 601}, "max_tokens: expected at most 600"),
        ({"prompt": [1]}, r"prompt\[0\]: expected `str`, got `int`"),
        ({"prompt": []}, "prompt: expected `array` of length >= 1"),
        ({"best_of": 2}, "best_of: not offered"),
        ({"prompt": ["x", "word " * 3000]}, "context"),
        ({"stop": ["a"] * 5}, "stop: expected `array` of length <= 4"),
        ({"colour": "red"}, "colour: not offered"),
        ({"prompt": "word " * 3000}, "context"),
        ({"model": "../x"}, "model: .* does not name a model"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(client: openai.OpenAI, more: dict, words: str) -> None:
    body = {"prompt": "x", "max_tokens": 1, "model": "smollm"} | more
    with pytest.raises(openai.BadRequestError, match=words) as refused:
        client.post("/completions", body=body, cast_to=object)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.code == "invalid_input"


def test_values_that_ask_for_nothing_are_taken(client: openai.OpenAI) -> None:
    client.completions.create(
        model="smollm", prompt="x", max_tokens=1, n=1, best_of=1, echo=False, user="me", logit_bias={}, suffix=None
    )
    client.chat.completions.create(
        model="smollm",
        messages=[{"role": "user", "content": "x"}],
        max_tokens=1,
        response_format={"type": "text"},
        tools=[],
        logprobs=False,
    )


def test_every_fault_is_told_at_once(door: Served) -> None:
    answer = door.post("/v1/chat/completions", json={"messages": [{"role": "robot", "content": "x"}], "n": 0})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert len(error["faults"]) == 3
    assert error["example"]["messages"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert door.post("/v1/completions", content=b"{").json()["error"]["message"].startswith("the body is not valid")
    assert door.post("/v1/completions", content=b"[]").json()["error"]["type"] == "invalid_request_error"


def test_models_that_do_something_else_say_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model 'nobody' is served"):
        client.completions.create(model="nobody", prompt="x")
    with pytest.raises(openai.APIStatusError, match="makes no texts: it is onnx") as refused:
        client.completions.create(model="linear", prompt="x")
    assert refused.value.status_code == 501
    with pytest.raises(openai.APIStatusError, match="makes no embeddings"):
        client.embeddings.create(model="smollm", input="x")


def test_a_deadline_holds(client: openai.OpenAI) -> None:
    soon = {"X-Request-Timeout-Ms": "200"}
    asked = {"model": "smollm", "prompt": "Count: 1, 2,", "max_tokens": 600, "temperature": 0, "extra_headers": soon}
    with pytest.raises(openai.InternalServerError, match=r"within 0.2 s") as late:
        client.completions.create(**asked)
    assert late.value.code == "deadline_exceeded"
    with pytest.raises(openai.APIError, match=r"within 0.2 s"):
        list(client.completions.create(**asked, stream=True))


def test_embeddings_of_any_model_that_makes_vectors(client: openai.OpenAI, door: Served) -> None:
    answer = client.embeddings.create(model="lengths", input=["a b", "four"], encoding_format="float")
    assert [item.embedding for item in answer.data] == [[3.0, 1.0], [4.0, 0.0]]
    assert answer.usage.total_tokens == 3
    assert client.embeddings.create(model="lengths", input="a b").data[0].embedding == [3.0, 1.0]
    packed = door.post("/v1/embeddings", json={"model": "lengths", "input": "a b", "encoding_format": "base64"}).json()
    assert np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4").tolist() == [3.0, 1.0]
    for wrong in ([], [[1, 2]], "", 5):
        with pytest.raises(openai.BadRequestError, match="input"):
            client.post("/embeddings", body={"model": "lengths", "input": wrong}, cast_to=object)
    with pytest.raises(openai.BadRequestError, match="dimensions: not offered"):
        client.embeddings.create(model="lengths", input="x", dimensions=1)


def test_one_list_of_models_for_all_clients(client: openai.OpenAI, door: Served) -> None:
    assert [model.id for model in client.models.list()] == ["lengths", "linear", "smollm"]
    assert door.get("/v1/models").json()["models"] == ["lengths", "linear", "smollm"]
    one = client.models.retrieve("smollm")
    assert (one.id, one.object, one.owned_by, one.ready) == ("smollm", "model", "servable", True)
    assert one.created > 1_700_000_000
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_the_contract_shows_bodies_that_work(door: Served) -> None:
    paths = door.get("/openapi.json").json()["paths"]
    for path, name in (
        ("/v1/completions", "smollm"),
        ("/v1/chat/completions", "smollm"),
        ("/v1/embeddings", "lengths"),
    ):
        examples = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert list(examples) == [name]
        short = {"max_tokens": 2} if name == "smollm" else {}
        assert door.post(path, json=examples[name]["value"] | short).status_code == 200


def test_tokens_are_counted(door: Served) -> None:
    text = door.get("/metrics").text
    assert f'servable_tokens_total{{model="smollm",version="1"}} {stats(door).tokens}' in text
    assert stats(door).tokens > 0


def test_keys_hold_here_too(tmp_path: Path, door: Served) -> None:
    keys = Keys(tmp_path)
    secret, _ = keys.create("one", ["invoker"], ["lin*"])
    with served(tmp_path, {"linear": models(tmp_path)["linear"]}, require_key=True) as locked:
        address = f"{locked.url}/v1"
        with openai.OpenAI(base_url=address, api_key="sv_wrong", max_retries=0) as nobody:
            with pytest.raises(openai.AuthenticationError) as refused:
                nobody.completions.create(model="linear", prompt="x")
            assert refused.value.type == "authentication_error"
        other = pytest.raises(openai.PermissionDeniedError, match="not for model 'other'")
        with openai.OpenAI(base_url=address, api_key=secret, max_retries=0) as known, other:
            known.completions.create(model="other", prompt="x")
