"""The gRPC door with real models, as its clients see it: the stock Triton clients, plain grpc, the health stubs."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.server import grpc_served
from tests.server.grpc_served import Served, served

X = np.array([[1, 2, 3], [4, 6, 5]], np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    return grpc_served.models(tmp_path_factory.mktemp("models"))


@pytest.fixture
async def door(files) -> AsyncIterator[Served]:
    async with served(files) as open_door:
        yield open_door


@pytest.fixture
async def gated(files) -> AsyncIterator[Served]:
    """`scores` waits until its gate is opened."""
    async with served(files, gated=["scores"], max_queue=2) as open_door:
        yield open_door


@pytest.fixture
async def stub(door: Served) -> AsyncIterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    async with grpc.aio.insecure_channel(door.address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def scores_input(x: np.ndarray = X) -> triton.InferInput:
    return triton.InferInput("x", list(x.shape), "FP32").set_data_from_numpy(x)


def scores_request(x: np.ndarray = X, **more: Any) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="scores", **more)
    request.inputs.add(name="x", datatype="FP32", shape=x.shape)
    request.raw_input_contents.append(x.tobytes())
    return request


# ---- the stock clients


async def test_everything_the_stock_client_can_ask(door: Served):
    await asyncio.to_thread(_ask_everything, door.address)


def _ask_everything(address: str) -> None:
    with triton.InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("scores")
        assert client.is_model_ready("scores", "2")
        assert client.is_model_ready("scores", "champion")
        assert not client.is_model_ready("scores", "3")
        assert not client.is_model_ready("score")
        server = client.get_server_metadata(as_json=True)
        assert server["name"] == "servable"
        assert {"classification", "model_repository", "binary_tensor_data"} <= set(server["extensions"])
        assert client.get_model_metadata("scores", "1", as_json=True) == {
            "name": "scores",
            "versions": ["1", "2"],
            "platform": "onnx_onnxv1",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": ["-1", "3"]}],
            "outputs": [
                {"name": "scores", "datatype": "FP32", "shape": ["-1", "3"]},
                {"name": "best", "datatype": "INT64", "shape": ["-1"]},
            ],
        }
        config = client.get_model_config("scores", as_json=True)["config"]
        assert config["max_batch_size"] > 0
        assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": ["3"]}]
        assert config["output"][1] == {"name": "best", "data_type": "TYPE_INT64"}
        assert "dynamic_batching" in config
        kinds = {
            each["name"]: each["data_type"] for each in client.get_model_config("echo", as_json=True)["config"]["input"]
        }
        assert kinds["in_bytes"] == "TYPE_STRING"

        result = client.infer("scores", [scores_input()], request_id="seven")
        np.testing.assert_array_equal(result.as_numpy("scores"), 2 * X + 1)
        assert result.as_numpy("best").tolist() == [2, 1]
        response = result.get_response()
        assert (response.id, response.model_name, response.model_version) == ("seven", "scores", "2")
        assert client.infer("scores", [scores_input()], "champion").get_response().model_version == "1"
        first, second = (client.infer("scores", [scores_input()]).get_response().id for _ in range(2))
        assert first != second
        assert first
        wanted = [triton.InferRequestedOutput("scores", class_count=2)]
        result = client.infer("scores", [scores_input()], outputs=wanted)
        assert result.as_numpy("scores").tolist() == [[b"7.000000:2", b"5.000000:1"], [b"13.000000:1", b"11.000000:2"]]
        assert result.as_numpy("best") is None

        (stats,) = client.get_inference_statistics("scores", "2", as_json=True)["model_stats"]
        assert int(stats["inference_count"]) >= 8
        assert int(stats["inference_stats"]["success"]["count"]) >= 4
        assert len(client.get_inference_statistics("scores").model_stats) == 2
        assert len(client.get_inference_statistics().model_stats) == 3

        client.unload_model("echo")
        index = client.get_model_repository_index(as_json=True)["models"]
        assert [(entry["name"], entry["version"], entry["state"]) for entry in index] == [
            ("scores", "1", "READY"),
            ("scores", "2", "READY"),
        ]
        assert not client.is_model_ready("echo")
        client.load_model("echo")
        assert client.is_model_ready("echo")

        assert client.get_trace_settings(as_json=True)["settings"]["trace_level"] == {"value": ["OFF"]}
        assert client.get_log_settings(as_json=True)["settings"]["log_error"] == {"bool_param": True}
        assert not client.get_system_shared_memory_status().regions
        assert not client.get_cuda_shared_memory_status().regions
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory()


ARRAYS = {
    "BOOL": np.array([[True, False]]),
    "FP16": np.array([[1.5, -0.0]], np.float16),
    "FP32": np.array([[1e-40, 3e38]], np.float32),
    "FP64": np.array([[1e-300, -1e300]]),
    "BYTES": np.array([["ä", ""]], object),
} | {
    f"{sign}INT{bits}": np.array([[np.iinfo(f"{sign.lower()}int{bits}").min, np.iinfo(f"{sign.lower()}int{bits}").max]],
    f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)
}  # fmt: skip


async def test_every_datatype_there_and_back(door: Served):
    inputs = [triton.InferInput(f"in_{kind.lower()}", [1, 2], kind) for kind in ARRAYS]
    for tensor, array in zip(inputs, ARRAYS.values(), strict=True):
        tensor.set_data_from_numpy(array)
    async with triton_aio.InferenceServerClient(door.address) as client:
        result = await client.infer("echo", inputs)
    for kind, array in ARRAYS.items():
        got = result.as_numpy(f"out_{kind.lower()}")
        if kind == "BYTES":
            assert got.tolist() == [["ä".encode(), b""]]
        else:
            assert got.dtype == array.dtype
            assert got.tobytes() == array.tobytes()


async def test_typed_contents_and_a_typed_answer(stub):
    request = service_pb2.ModelInferRequest(model_name="scores")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 3]).contents.fp32_contents.extend([1, 2, 3])
    answer = await stub.ModelInfer(request)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [3, 5, 7]
    request.parameters["binary_data_output"].bool_param = False
    answer = await stub.ModelInfer(request)
    assert list(answer.outputs[0].contents.fp32_contents) == [3, 5, 7]
    assert list(answer.outputs[1].contents.int64_contents) == [2]
    assert not answer.raw_output_contents


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
async def test_compressed_requests(door: Served, packing: str):
    x = np.ones((1000, 3), np.float32)
    async with triton_aio.InferenceServerClient(door.address) as client:
        result = await client.infer("scores", [scores_input(x)], compression_algorithm=packing)
    np.testing.assert_array_equal(result.as_numpy("scores"), 2 * x + 1)


async def test_large_tensors_pass_both_ways_beside_small_ones(door: Served):
    """48 MiB in and out on one connection, far beyond every window, while others are answered on it."""
    x = np.arange(3 * 2**22, dtype=np.float32).reshape(-1, 3)
    async with triton_aio.InferenceServerClient(door.address) as client:
        large = asyncio.ensure_future(client.infer("scores", [scores_input(x)]))
        small = [await client.infer("scores", [scores_input()]) for _ in range(20)]
        got = (await large).as_numpy("scores")
    assert all(result.as_numpy("best").tolist() == [2, 1] for result in small)
    np.testing.assert_array_equal(got, 2 * x + 1)


async def test_no_caller_gets_another_s_answer(door: Served):
    async def ask(client: triton_aio.InferenceServerClient, number: int) -> None:
        x = np.full((1 + number % 3, 3), number, np.float32)
        result = await client.infer("scores", [scores_input(x)], request_id=str(number))
        assert result.get_response().id == str(number)
        np.testing.assert_array_equal(result.as_numpy("scores"), 2 * x + 1)

    clients = [triton_aio.InferenceServerClient(door.address) for _ in range(4)]
    await asyncio.gather(*(ask(clients[number % 4], number) for number in range(400)))
    for client in clients:
        await client.close()
    assert door.stats("scores").executions < 400  # what arrives together is computed together


# ---- errors


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def trailers(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    return dict(error.trailing_metadata() or ())


async def test_a_refusal_tells_every_fault_and_what_would_work(stub):
    request = scores_request(np.zeros((1, 2), np.float32))
    request.inputs.add(name="z", datatype="FP32", shape=[1])
    request.raw_input_contents.append(bytes(4))
    error = await failure(stub.ModelInfer(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "'z': expected no such input" in error.details()
    assert "'x': expected shape [-1, 3], got shape [1, 2]" in error.details()
    example = json.loads(error.details().partition("as JSON: ")[2])
    assert example["inputs"][0]["shape"] == [1, 3]
    assert trailers(error)["servable-code"] == "invalid_input"


@pytest.mark.parametrize(
    ("model", "version", "told"),
    [
        ("score", "", "did you mean 'scores'?"),
        ("scores", "7", "it serves 1, 2, champion"),
        ("", "", "there is echo, scores"),
    ],
)
async def test_what_does_not_exist(stub, model: str, version: str, told: str):
    error = await failure(stub.ModelInfer(scores_request(model_version=version, id="mine") if model == "scores" else
                                          service_pb2.ModelInferRequest(model_name=model)))  # fmt: skip
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert told in error.details()
    assert (
        await failure(stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=model, version=version or "9")))
    ).code() is (grpc.StatusCode.NOT_FOUND)


async def test_a_failure_carries_the_request_s_id(stub):
    error = await failure(stub.ModelInfer(scores_request(model_version="7", id="mine")))
    assert trailers(error)["x-request-id"] == "mine"
    error = await failure(stub.ModelInfer(scores_request(model_version="7", id="ü" * 9)))
    assert "x-request-id" not in trailers(error)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterRequest(name="r", key="k", byte_size=4)),
        ("CudaSharedMemoryRegister", service_pb2.CudaSharedMemoryRegisterRequest(name="r", byte_size=4)),
        ("TraceSetting", service_pb2.TraceSettingRequest(settings={"trace_rate": {"value": ["1"]}})),
        ("LogSettings", service_pb2.LogSettingsRequest(settings={"log_info": {"bool_param": False}})),
        ("RepositoryIndex", service_pb2.RepositoryIndexRequest(repository_name="other")),
        ("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(repository_name="other", model_name="scores")),
    ],
)
async def test_what_is_not_offered(stub, method: str, request_):
    error = await failure(getattr(stub, method)(request_))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert len(error.details()) > 20


async def test_a_method_that_does_not_exist(door: Served):
    async with grpc.aio.insecure_channel(door.address) as channel:
        error = await failure(channel.unary_unary("/inference.GRPCInferenceService/ModelTrain")(b""))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "ModelTrain" in error.details()


async def test_bytes_that_are_no_message(door: Served):
    async with grpc.aio.insecure_channel(door.address) as channel:
        for method in ("ModelInfer", "ModelMetadata"):
            error = await failure(channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(b"\x0a\xff"))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_long_message_stays_within_what_clients_take(files):
    async with served(files) as door, grpc.aio.insecure_channel(door.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        error = await failure(stub.ModelInfer(service_pb2.ModelInferRequest(model_name="ß%" * 30_000)))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details().endswith("…")


async def test_messages_beyond_the_limit_are_refused_before_they_are_read(files):
    async with (
        served(files, max_body_bytes=100_000, max_decompressed_bytes=200_000) as door,
        grpc.aio.insecure_channel(door.address) as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        error = await failure(stub.ModelInfer(scores_request(np.zeros((20_000, 3), np.float32))))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "at most 100000" in error.details()
        bomb = scores_request(np.zeros((100_000, 3), np.float32))  # 1.2 MB of zeros in about 1 KB
        error = await failure(stub.ModelInfer(bomb, compression=grpc.Compression.Gzip))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "unpacks to more than 200000" in error.details()
        assert (await stub.ModelInfer(scores_request())).model_version == "2"


async def test_a_broken_compressed_message(door: Served):
    """The header promises gzip; the bytes are zlib's."""
    reader, writer = await asyncio.open_connection(*door.address.split(":"))
    client = H2Connection(H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "x",
        ":path": "/inference.GRPCInferenceService/ModelInfer",
    }
    more = {"content-type": "application/grpc", "te": "trailers", "grpc-encoding": "gzip"}
    client.send_headers(1, [*headers.items(), *more.items()])
    packed = zlib.compress(scores_request().SerializeToString())
    client.send_data(1, b"\x01" + len(packed).to_bytes(4, "big") + packed, end_stream=True)
    writer.write(client.data_to_send())
    answer: dict[str, str] = {}
    while "grpc-status" not in answer:
        for event in client.receive_data(await reader.read(65536)):
            answer |= dict(getattr(event, "headers", None) or [])
    writer.close()
    assert answer["grpc-status"] == "3"
    assert "gzip" in answer["grpc-message"]


# ---- time


async def test_a_deadline_in_the_parameters(gated: Served):
    async with grpc.aio.insecure_channel(gated.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = scores_request()
        request.parameters["timeout"].int64_param = 50_000
        error = await failure(stub.ModelInfer(request))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "no answer within 0.050 s" in error.details()


async def test_a_full_queue_says_when_to_come_back(gated: Served):
    async with grpc.aio.insecure_channel(gated.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        running = asyncio.ensure_future(stub.ModelInfer(scores_request()))
        await until(lambda: gated.gates["scores"].entered == 1)
        waiting = [asyncio.ensure_future(stub.ModelInfer(scores_request())) for _ in range(2)]
        await until(lambda: gated.stats("scores").pending == 3)
        error = await failure(stub.ModelInfer(scores_request()))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert int(trailers(error)["retry-after"]) >= 1
        assert trailers(error)["servable-code"] == "overloaded"
        gated.gates["scores"].opened.set()
        await asyncio.gather(running, *waiting)


async def test_who_goes_away_is_not_computed_for(gated: Served):
    async with grpc.aio.insecure_channel(gated.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        running = asyncio.ensure_future(stub.ModelInfer(scores_request()))
        await until(lambda: gated.gates["scores"].entered == 1)
        leaving = stub.ModelInfer(scores_request(np.zeros((7, 3), np.float32)))
        expired = stub.ModelInfer(scores_request(np.zeros((9, 3), np.float32)), timeout=0.2)
        await until(lambda: gated.stats("scores").pending == 3)
        leaving.cancel()
        assert (await failure(expired)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: not any(len(each.streams) > 1 for each in gated.door._connections))
        gated.gates["scores"].opened.set()
        await running
        await stub.ModelInfer(scores_request())
    assert gated.gates["scores"].rows == [2, 2]


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


# ---- streams


async def test_a_stream_answers_in_order_and_failures_in_their_place(door: Served):
    async def requests() -> AsyncIterator[service_pb2.ModelInferRequest]:
        for number in range(300):
            x = np.full((1, 3), number, np.float32)
            name = "scores" if number % 10 else "nothing"
            request = scores_request(x, id=str(number))
            request.model_name = name
            yield request

    async with grpc.aio.insecure_channel(door.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answers = [answer async for answer in stub.ModelStreamInfer(requests())]
    assert [answer.infer_response.id for answer in answers] == [str(number) for number in range(300)]
    for number, answer in enumerate(answers):
        if number % 10:
            assert np.frombuffer(answer.infer_response.raw_output_contents[0], np.float32)[0] == 2 * number + 1
        else:
            assert "no model 'nothing'" in answer.error_message


async def test_the_stock_clients_streams(door: Served):
    def stream() -> list[Any]:
        results: list[Any] = []
        with triton.InferenceServerClient(door.address) as client:
            client.start_stream(lambda result, error: results.append(error or result.as_numpy("best").tolist()))
            client.async_stream_infer("scores", [scores_input()])
            client.async_stream_infer("none", [scores_input()])
            client.async_stream_infer("scores", [scores_input(X[:1])])
            client.stop_stream()
        return results

    first, second, third = await asyncio.to_thread(stream)
    assert (first, third) == ([2, 1], [2])
    assert isinstance(second, InferenceServerException)

    async def requests() -> AsyncIterator[dict[str, Any]]:
        yield {"model_name": "scores", "inputs": [scores_input()], "request_id": "a"}

    async with triton_aio.InferenceServerClient(door.address) as client:
        async for result, error in client.stream_infer(requests()):
            assert error is None
            assert result.get_response().id == "a"


async def test_a_stream_that_does_not_read_is_not_answered_into_memory(door: Served):
    """Answers of 1.2 MB each, to a caller that takes none: a few are computed, the rest wait on the caller's side."""
    x = np.zeros((100_000, 3), np.float32)

    async def requests() -> AsyncIterator[service_pb2.ModelInferRequest]:
        for _ in range(60):
            yield scores_request(x)

    async with grpc.aio.insecure_channel(door.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelStreamInfer(requests())
        await until(lambda: door.stats("scores").success > 0)
        seen = -1
        while seen != (seen := door.stats("scores").success):
            await asyncio.sleep(0.3)
        assert seen < 30
        answers = 0
        async for answer in call:
            assert not answer.error_message
            answers += 1
        assert answers == 60


async def test_a_cancelled_stream_cancels_what_it_asked_for(gated: Served):
    async with grpc.aio.insecure_channel(gated.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelStreamInfer()
        for _ in range(3):
            await call.write(scores_request())
        await until(lambda: gated.stats("scores").pending == 3)
        call.cancel()
        await until(lambda: not gated.door._streams)
        gated.gates["scores"].opened.set()
        await until(lambda: gated.stats("scores").pending == 0)
        await stub.ModelInfer(scores_request(X[:1]))
    assert gated.gates["scores"].rows in ([2, 1], [6, 1])


# ---- health


async def test_health_as_probes_ask(door: Served):
    async with grpc.aio.insecure_channel(door.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService", "scores"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        error = await failure(health.Check(health_pb2.HealthCheckRequest(service="nothing")))
        assert error.code() is grpc.StatusCode.NOT_FOUND

        watch = health.Watch(health_pb2.HealthCheckRequest(service="echo"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await door.repository.unload("echo")
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        await door.repository.load("echo", {})
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        whole = health.Watch(health_pb2.HealthCheckRequest())
        assert (await whole.read()).status == health_pb2.HealthCheckResponse.SERVING
        door.host.refuse_new()
        assert (await whole.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        whole.cancel()


async def test_not_ready_until_all_is_loaded(files, tmp_path: Path):
    (tmp_path / "broken.onnx").write_bytes(b"<!DOCTYPE html><html></html>")
    async with (
        served({**files, "broken": {"1": tmp_path / "broken.onnx"}}) as door,
        grpc.aio.insecure_channel(door.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        answer = await health.Check(health_pb2.HealthCheckRequest(service="broken"))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not (await stub.ServerReady(service_pb2.ServerReadyRequest())).ready
        error = await failure(stub.ModelInfer(service_pb2.ModelInferRequest(model_name="broken")))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert trailers(error)["servable-code"] == "not_ready"
        index = await stub.RepositoryIndex(service_pb2.RepositoryIndexRequest())
        (entry,) = (entry for entry in index.models if entry.name == "broken")
        assert entry.state == "UNAVAILABLE"
        assert "HTML" in entry.reason
        index = await stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True))
        assert "broken" not in {entry.name for entry in index.models}
        load = service_pb2.RepositoryModelLoadRequest(model_name="broken")
        error = await failure(stub.RepositoryModelLoad(load))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


# ---- changes while serving


async def test_reloading_under_load_fails_nobody(door: Served):
    async def ask(client: triton_aio.InferenceServerClient) -> int:
        asked = 0
        while not done.is_set():
            result = await client.infer("scores", [scores_input()])
            np.testing.assert_array_equal(result.as_numpy("scores"), 2 * X + 1)
            asked += 1
        return asked

    done = asyncio.Event()
    async with triton_aio.InferenceServerClient(door.address) as client:
        asking = [asyncio.ensure_future(ask(client)) for _ in range(8)]
        for _ in range(20):
            await client.load_model("scores")
        done.set()
        assert min(await asyncio.gather(*asking)) > 0


async def test_draining_answers_what_was_asked_and_takes_no_more(gated: Served):
    channel = grpc.aio.insecure_channel(gated.address)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    accepted = asyncio.ensure_future(stub.ModelInfer(scores_request()))
    stream = stub.ModelStreamInfer()
    await stream.write(scores_request(id="s"))
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    await until(lambda: gated.stats("scores").pending == 2)

    gated.host.refuse_new()
    draining = asyncio.ensure_future(gated.door.drain(20))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    error = await failure(stub.ModelInfer(scores_request(), timeout=1))
    assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    gated.gates["scores"].opened.set()
    assert (await accepted).model_version == "2"
    assert (await stream.read()).infer_response.id == "s"
    assert (await failure(stream.read())).code() is grpc.StatusCode.UNAVAILABLE
    await asyncio.wait_for(draining, 10)
    await channel.close()
