"""A language model and one of sentences, each in its own process behind two doors, asked by OpenAI's own client:
streams, callers who leave, deaths, vectors.
"""

from __future__ import annotations

import base64
import os
import signal
import threading
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest

from servable.bundles.pack import pack
from tests.e2e.serving import Serving, eventually
from tests.texts import EIGHT, FRANCE, HAPPY, LIKENESS, minilm, smollm

pytestmark = pytest.mark.timeout(300)  # two libraries load while all else runs
SMOLLM = "smollm"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("texts")
    pack(minilm(), name="minilm", output=folder / "minilm")
    pack(smollm(), name="smollm", output=folder / "smollm")
    with Serving(folder, folder / "smollm", folder / "minilm", sandbox="required") as serving:
        yield serving.ready()


@pytest.fixture
def client(serving: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://{serving.host}:{serving.port}/v1", api_key="none", max_retries=0) as client:
        yield client


def metric(serving: Serving, line: str) -> float:
    text = httpx.get(f"http://{serving.host}:{serving.port}/metrics").text
    return sum(float(found.rpartition(" ")[2]) for found in text.splitlines() if found.startswith(line))


def test_it_answers_from_a_sandbox(serving: Serving, client: openai.OpenAI) -> None:
    answer = client.completions.create(model=SMOLLM, prompt=FRANCE, max_tokens=8, temperature=0)
    assert answer.choices[0].text == EIGHT
    config = serving.ask("GET", f"/v2/models/{SMOLLM}/config")[1]
    assert "landlock" in config["parameters"]["sandbox"]["string_value"]
    assert "seccomp" in config["parameters"]["sandbox"]["string_value"]


def test_the_same_by_the_other_protocols(serving: Serving) -> None:
    status, told = serving.ask(
        "POST", f"/v2/models/{SMOLLM}/infer", {"rows": [{"prompt": FRANCE}], "parameters": {"max_tokens": 8}}
    )
    assert (status, told["rows"][0]["text"]) == (200, EIGHT)
    assert serving.ask("POST", f"/v1/models/{SMOLLM}:predict", {"instances": [FRANCE]})[0] == 200


def test_streams_run_side_by_side_and_who_leaves_frees_the_slot(serving: Serving, client: openai.OpenAI) -> None:
    gone = metric(serving, "servable_cancelled_total")
    streams = [
        client.completions.create(model=SMOLLM, prompt="Count: 1, 2, 3,", max_tokens=900, temperature=0, stream=True)
        for _ in range(4)
    ]
    for stream in streams:  # all four slots speak, before any has ended
        assert next(iter(stream)).choices[0].text
    for stream in streams:
        stream.close()
    answer = client.completions.create(model=SMOLLM, prompt=FRANCE, max_tokens=8, temperature=0)
    assert answer.choices[0].text == EIGHT
    eventually(lambda: metric(serving, "servable_cancelled_total") == gone + 4, "four texts that were given up")
    eventually(lambda: metric(serving, "servable_in_flight") == 0, "nobody to wait any more")


def test_the_death_of_the_process_cuts_a_text_off_and_the_next_one_is_whole(
    serving: Serving, client: openai.OpenAI
) -> None:
    stream = client.completions.create(model=SMOLLM, prompt="Count: 1, 2,", max_tokens=900, temperature=0, stream=True)
    pieces = iter(stream)
    next(pieces)
    pid = int(serving.log().rpartition("model process for smollm:1 started (pid ")[2].partition(")")[0])
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIError, match="ended in the middle"):
        list(pieces)
    answers: list[str] = []

    def ask() -> None:
        told = client.with_options(max_retries=5).completions.create(
            model=SMOLLM, prompt=FRANCE, max_tokens=8, temperature=0
        )
        answers.append(told.choices[0].text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [EIGHT] * 3


@pytest.mark.parametrize("form", ["float", "base64"])
def test_sentences_are_as_alike_as_their_model_says(client: openai.OpenAI, form: str) -> None:
    texts = [HAPPY, *LIKENESS]
    answer = client.embeddings.create(model="minilm", input=texts, encoding_format=form)  # type: ignore[arg-type]
    vectors = [item.embedding for item in answer.data]
    if form == "base64":  # asked for by name, the client hands it over as it came
        vectors = [np.frombuffer(base64.b64decode(str(text)), "<f4").tolist() for text in vectors]
    unit = np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit.shape == (4, 384)
    assert np.round(unit[1:] @ unit[0], 3).tolist() == list(LIKENESS.values())
    assert answer.usage.prompt_tokens == 7 + 7 + 8 + 7
    assert (answer.model, answer.model_version) == ("minilm", "1")


def test_one_sentence_and_many_give_the_same(client: openai.OpenAI) -> None:
    texts = [f"text number {number} " * (1 + number % 7) for number in range(40)]
    many = client.embeddings.create(model="minilm", input=texts)
    assert [item.index for item in many.data] == list(range(40))
    for place in (0, 17, 39):
        alone = client.embeddings.create(model="minilm", input=texts[place]).data[0].embedding
        np.testing.assert_allclose(many.data[place].embedding, alone, atol=1e-5)
