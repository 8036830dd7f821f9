"""`servable serve` and its gRPC clients, none of them changed: Triton's, bare grpc, health probes, perf_analyzer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.e2e import perf_analyzer
from tests.e2e.serving import Serving, eventually, write_model

X = np.array([[1.0], [2.0]], np.float32)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("served")
    with Serving(folder, write_model(folder / "line.onnx", 1.0), workers=2) as served:
        served.ready()
        served.all_ready(2)
        yield served


def tensor(x: np.ndarray = X) -> triton.InferInput:
    return triton.InferInput("x", list(x.shape), "FP32").set_data_from_numpy(x)


def test_both_protocols_tell_and_answer_the_same(serving: Serving) -> None:
    http_input = triton_http.InferInput("x", [2, 1], "FP32").set_data_from_numpy(X)
    with (
        triton.InferenceServerClient(serving.grpc) as by_grpc,
        triton_http.InferenceServerClient(f"{serving.host}:{serving.port}") as by_http,
    ):
        assert by_grpc.is_server_ready()
        assert by_http.is_server_ready()
        over_grpc = by_grpc.infer("line", [tensor()], request_id="1")
        over_http = by_http.infer("line", [http_input], request_id="1")
        np.testing.assert_array_equal(over_grpc.as_numpy("y"), 2 * X + 1)
        np.testing.assert_array_equal(over_http.as_numpy("y"), over_grpc.as_numpy("y"))
        assert over_http.get_response()["model_version"] == over_grpc.get_response().model_version
        metadata = by_grpc.get_model_metadata("line")
        told = by_http.get_model_metadata("line")
        assert [list(each.shape) for each in metadata.inputs] == [each["shape"] for each in told["inputs"]]
        assert told["platform"] == metadata.platform
        config = by_grpc.get_model_config("line").config
        assert config.max_batch_size == by_http.get_model_config("line")["max_batch_size"]
        with pytest.raises(InferenceServerException) as over_grpc_failed:
            by_grpc.infer("lime", [tensor()])
        with pytest.raises(InferenceServerException) as over_http_failed:
            by_http.infer("lime", [http_input])
        assert over_grpc_failed.value.message() == over_http_failed.value.message()
        assert over_grpc_failed.value.status() == "StatusCode.NOT_FOUND"


def test_statistics_are_those_of_all_doors(serving: Serving) -> None:
    """Each client has a connection of its own, so some meet one door and some the other."""
    with triton.InferenceServerClient(serving.grpc) as asking:
        before = int(asking.get_inference_statistics("line", as_json=True)["model_stats"][0].get("inference_count", 0))
        for _ in range(8):
            channel = grpc.insecure_channel(serving.grpc, options=[("grpc.use_local_subchannel_pool", 1)])
            request = service_pb2.ModelInferRequest(model_name="line", raw_input_contents=[X.tobytes()])
            request.inputs.add(name="x", datatype="FP32", shape=[2, 1])
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
            channel.close()
        after = asking.get_inference_statistics("line").model_stats[0]
        assert after.inference_count == before + 16


async def test_the_asynchronous_client_and_probes(serving: Serving) -> None:
    async with (
        triton_aio.InferenceServerClient(serving.grpc) as client,
        grpc.aio.insecure_channel(serving.grpc) as channel,
    ):
        answers = await asyncio.gather(*(client.infer("line", [tensor(X + n)]) for n in range(50)))
        for number, answer in enumerate(answers):
            np.testing.assert_array_equal(answer.as_numpy("y"), 2 * (X + number) + 1)
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService", "line"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_loading_anew_under_load_fails_nobody(serving: Serving) -> None:
    done = asyncio.Event()

    async def ask() -> int:
        asked = 0
        async with triton_aio.InferenceServerClient(serving.grpc) as client:
            while not done.is_set():
                answer = await client.infer("line", [tensor()])
                np.testing.assert_array_equal(answer.as_numpy("y"), 2 * X + 1)
                asked += 1
        return asked

    asking = [asyncio.ensure_future(ask()) for _ in range(6)]
    async with triton_aio.InferenceServerClient(serving.grpc) as client:
        for _ in range(5):
            await client.load_model("line")
    done.set()
    assert min(await asyncio.gather(*asking)) > 0


@pytest.mark.skipif(not perf_analyzer.RUNS_HERE, reason="perf_analyzer is published for Linux on x86-64 only")
@pytest.mark.parametrize(
    "arguments",
    [["-i", "grpc"], ["-i", "grpc", "--async", "-b", "8"], ["-i", "http"]],
    ids=["grpc", "grpc async, batches", "http"],
)
def test_perf_analyzer(serving: Serving, arguments: list[str]) -> None:
    """Without its `--streaming`, which can stop for good with answers unread in its socket; streams are asked above."""
    url = serving.grpc if "grpc" in arguments else f"{serving.host}:{serving.port}"
    # A window of a few hundred milliseconds, and no demand of stability: this proves the protocol, not the speed.
    measured = perf_analyzer.measure(
        "-m", "line", "-u", url, "--concurrency-range", "4", "-p", "300", "-r", "8", "-s", "999", *arguments
    )
    assert measured.rate > 0
    # The server tells of the same requests, but for those at the edges of a window.
    assert measured.server_requests > 0.7 * measured.requests > 0


@pytest.mark.skipif(not perf_analyzer.RUNS_HERE, reason="it writes a library for Linux on x86-64")
def test_the_library_that_traps_has_the_names_and_no_others(tmp_path: Path) -> None:
    import ctypes

    path = tmp_path / "trap.so"
    path.write_bytes(perf_analyzer.library(("one", "two")))
    library = ctypes.CDLL(str(path))
    assert library.one
    assert library.two
    with pytest.raises(AttributeError):
        library.three  # noqa: B018 - looking it up is the test


def test_a_killed_door_is_missed_by_the_calls_that_it_held_alone(tmp_path: Path) -> None:
    with Serving(tmp_path, write_model(tmp_path / "line.onnx", 1.0), workers=2) as serving:
        serving.ready()
        serving.all_ready(2)
        os.kill(serving.doors()[0], signal.SIGKILL)

        def answered() -> bool:
            with triton.InferenceServerClient(serving.grpc) as client:
                return bool((client.infer("line", [tensor()]).as_numpy("y") == 2 * X + 1).all())

        def works() -> bool:
            try:
                return answered()
            except InferenceServerException:
                return False

        eventually(works, "an answer from the door that lives")
        serving.all_ready(3)
        assert all(answered() for _ in range(10))


async def test_a_server_that_ends_cuts_no_call(tmp_path: Path) -> None:
    """Calls go on and on while it is told to stop: each is answered, or refused; none is cut in the middle."""
    request = service_pb2.ModelInferRequest(model_name="line", raw_input_contents=[X.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[2, 1])
    answered = 0
    ends: list[grpc.aio.AioRpcError] = []

    async def ask(stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
        nonlocal answered
        while not ends:
            try:
                await stub.ModelInfer(request)
                answered += 1
            except grpc.aio.AioRpcError as error:
                ends.append(error)

    with Serving(tmp_path, write_model(tmp_path / "line.onnx", 1.0), workers=1) as serving:
        serving.ready()
        serving.all_ready(1)
        async with grpc.aio.insecure_channel(serving.grpc) as channel, asyncio.timeout(60):
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            await stub.ModelInfer(request)
            asking = [asyncio.ensure_future(ask(stub)) for _ in range(4)]
            while answered < 10:
                await asyncio.sleep(0.01)
            serving.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*asking)
        assert {error.code() for error in ends} == {grpc.StatusCode.UNAVAILABLE}
        # The port was closed to them; nothing that was accepted was broken off.
        assert all("connect" in (error.details() or "") for error in ends), ends
        assert serving.process.wait(30) == 0
