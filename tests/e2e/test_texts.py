"""A language model in its own process behind whole servers: two doors, one copy, streams, callers who leave, deaths."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.e2e.serving import Serving, eventually
from tests.texts import EIGHT, FRANCE, smollm


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("texts"), smollm(), sandbox="required") as serving:
        yield serving.ready()


@pytest.fixture
def client(serving: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://{serving.host}:{serving.port}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def name(serving: Serving) -> str:
    (name,) = serving.ask("GET", "/v1/models")[1]["models"]
    return name


def metric(serving: Serving, line: str) -> float:
    import httpx

    text = httpx.get(f"http://{serving.host}:{serving.port}/metrics").text
    return sum(float(found.rpartition(" ")[2]) for found in text.splitlines() if found.startswith(line))


def test_it_answers_from_a_sandbox(serving: Serving, client: openai.OpenAI, name: str) -> None:
    answer = client.completions.create(model=name, prompt=FRANCE, max_tokens=8, temperature=0)
    assert answer.choices[0].text == EIGHT
    config = serving.ask("GET", f"/v2/models/{name}/config")[1]
    assert "landlock" in config["parameters"]["sandbox"]["string_value"]
    assert "seccomp" in config["parameters"]["sandbox"]["string_value"]


def test_the_same_by_the_other_protocols(serving: Serving, name: str) -> None:
    status, told = serving.ask(
        "POST", f"/v2/models/{name}/infer", {"rows": [{"prompt": FRANCE}], "parameters": {"max_tokens": 8}}
    )
    assert (status, told["rows"][0]["text"]) == (200, EIGHT)
    assert serving.ask("POST", f"/v1/models/{name}:predict", {"instances": [FRANCE]})[0] == 200


def test_streams_run_side_by_side_and_who_leaves_frees_the_slot(
    serving: Serving, client: openai.OpenAI, name: str
) -> None:
    gone = metric(serving, "servable_cancelled_total")
    streams = [
        client.completions.create(model=name, prompt="Count: 1, 2, 3,", max_tokens=1500, temperature=0, stream=True)
        for _ in range(4)
    ]
    for stream in streams:  # all four slots speak, before any has ended
        assert next(iter(stream)).choices[0].text
    for stream in streams:
        stream.close()
    answer = client.completions.create(model=name, prompt=FRANCE, max_tokens=8, temperature=0)
    assert answer.choices[0].text == EIGHT
    eventually(lambda: metric(serving, "servable_cancelled_total") == gone + 4, "four texts that were given up")
    assert metric(serving, "servable_in_flight") == 0


def test_the_death_of_the_process_cuts_a_text_off_and_the_next_one_is_whole(
    serving: Serving, client: openai.OpenAI, name: str
) -> None:
    stream = client.completions.create(model=name, prompt="Count: 1, 2,", max_tokens=1500, temperature=0, stream=True)
    pieces = iter(stream)
    next(pieces)
    pid = int(serving.log().rpartition("(pid ")[2].partition(")")[0])
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIError, match="ended in the middle"):
        list(pieces)
    answers: list[str] = []

    def ask() -> None:
        told = client.with_options(max_retries=5).completions.create(
            model=name, prompt=FRANCE, max_tokens=8, temperature=0
        )
        answers.append(told.choices[0].text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [EIGHT] * 3


def test_a_bundle_says_how_many_speak_at_once(tmp_path: Path) -> None:
    from servable.bundles.pack import pack

    bundle = pack(smollm(), name="small", output=tmp_path / "small")
    assert bundle.manifest.format == "gguf"
    assert bundle.signature.inputs[0].name == "prompt"
