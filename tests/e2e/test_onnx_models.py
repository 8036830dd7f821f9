"""ONNX models that others made and use, behind a whole server: what comes over REST and gRPC, in the binary form of
tensors, is what onnxruntime says in this process.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from tests.assets import wheel
from tests.e2e.serving import Serving

VOICE = {
    "silero_vad": 512, "silero_vad_16k_op15": 512, "silero_vad_half": 512, "silero_vad_op18_ifless": 512,
    "silero_vad_openvino_16k": 576, "silero_vad_16k_sequence": 576,
}  # fmt: skip
"""Each variant of one model of speech, and how many samples it takes at a time."""
FEEDBACK = {"state": "stateN", "h": "hn", "c": "cn"}
"""Inputs that are outputs of the call before."""


def path_of(name: str) -> Path:
    if name == "magika":
        return wheel("magika==1.0.3", everywhere=False) / "magika" / "models" / "standard_v3_3" / "model.onnx"
    return wheel("silero-vad==6.2.3") / "silero_vad" / "data" / f"{name}.onnx"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "magika.onnx").symlink_to(path_of("magika"))
    with Serving(folder, folder / "magika.onnx", *map(path_of, VOICE), workers=1) as serving:
        yield serving.ready()


@pytest.fixture(params=["rest", "grpc"])
def ask(request: pytest.FixtureRequest, serving: Serving) -> Iterator[Any]:
    """A function of a model's name and its inputs, which gives its outputs."""
    kind, client = (
        (triton_http, triton_http.InferenceServerClient(f"{serving.host}:{serving.port}", concurrency=4))
        if request.param == "rest"
        else (triton_grpc, triton_grpc.InferenceServerClient(serving.grpc))
    )

    def infer(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        tensors = []
        for key, array in inputs.items():
            tensor = kind.InferInput(key, list(array.shape), triton_http.np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        told = client.infer(name, tensors)
        outputs = told.get_response()
        names = (
            [o["name"] for o in outputs["outputs"]] if request.param == "rest" else [o.name for o in outputs.outputs]
        )
        return {key: told.as_numpy(key) for key in names}

    with client:
        yield infer


def own(name: str) -> Any:
    """The same of onnxruntime, in this process, with one thread as the doors have it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path_of(name)), options)
    names = [node.name for node in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def speech(seed: int, name: str, chunks: int) -> list[np.ndarray]:
    """Something like a voice: tones that come and go in noise."""
    size = VOICE[name]
    time = np.arange(chunks * size) / 16_000
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time))
    voice = sum(np.sin(2 * np.pi * pitch * (1 + seed) * time) / 8 for pitch in (110, 220, 330, 550))
    sound = (voice * (np.sin(2 * np.pi * 3 * time) > 0) + noise).astype(np.float32)
    return [chunk[None] for chunk in sound.reshape(chunks, size)]


def told_of(name: str, ask: Any, chunks: list[np.ndarray]) -> list[dict[str, Any]]:
    """A stream from its beginning to its end: each call is given what the one before it left."""
    half = {"h": np.zeros((1, 1, 128), np.float32), "c": np.zeros((1, 1, 128), np.float32)}
    state = half if name.endswith("sequence") else {"state": np.zeros((2, 1, 128), np.float32)}
    if name in {"silero_vad", "silero_vad_16k_op15", "silero_vad_op18_ifless"}:
        state["sr"] = np.array(16_000, np.int64)  # without an axis
    answers = []
    for chunk in chunks:
        answer = ask({"input": chunk, **state})
        state |= {key: answer[left] for key, left in FEEDBACK.items() if left in answer}
        answers.append(answer)
    return answers


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert (found[key].dtype, found[key].shape) == (array.dtype, array.shape)
        np.testing.assert_allclose(found[key], array, rtol=1e-5, atol=1e-6)


def test_file_types(ask: Any) -> None:
    rows = np.random.default_rng(0).integers(0, 257, (5, 2048)).astype(np.int32)
    found = ask("magika", {"bytes": rows})
    (expected,) = own("magika")({"bytes": rows}).values()
    np.testing.assert_allclose(found["target_label"], expected, rtol=1e-5, atol=1e-7)
    assert found["target_label"].shape == (5, 214)


@pytest.mark.parametrize("name", VOICE)
def test_a_stream_of_speech(ask: Any, name: str) -> None:
    chunks = speech(0, name, 8)
    found = told_of(name, lambda inputs: ask(name, inputs), chunks)
    for answer, expected in zip(found, told_of(name, own(name), chunks), strict=True):
        same(answer, expected)


def test_streams_side_by_side_are_never_mixed(ask: Any) -> None:
    name = "silero_vad"
    streams = [speech(seed, name, 12) for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda chunks: told_of(name, lambda inputs: ask(name, inputs), chunks), streams))
    for answers, chunks in zip(found, streams, strict=True):
        for answer, expected in zip(answers, told_of(name, own(name), chunks), strict=True):
            same(answer, expected)
