"""The ordinary routes of the HTTP door, called over a real socket: what they tell, and how they refuse."""

from __future__ import annotations

import gzip
import re
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from starlette.requests import Request
from starlette.responses import Response

from servable.domain.endpoint import ANY, Endpoint
from servable.errors import InvalidInput
from servable.server.access.keys import Keys
from servable.server.http.parts import Offer
from servable.server.http.rest import SAFE_HEADERS
from tests.packed import scaler
from tests.server.declared import models
from tests.server.rest_served import Served, served

LINEAR = {"X-Amzn-SageMaker-Target-Model": "linear"}
CSV = {"Content-Type": "text/csv"}
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    with served(home, models(home), max_body_bytes=200_000, max_decompressed_bytes=400_000) as door:
        yield door


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("single")
    with served(home, {"linear": {"1": models(home)["linear"]["1"]}}) as door:
        yield door


# ---- the Open Inference Protocol


def test_the_server_tells_what_it_is(door: Served) -> None:
    for path in ("/v2", "/v2/"):
        told = door.get(path).json()
        assert told["name"] == "servable"
        assert "binary_tensor_data" in told["extensions"]


def test_health(door: Served) -> None:
    assert door.get("/v2/health/live").json() == {"live": True}
    assert door.get("/v2/health/ready").json() == {"ready": True}
    assert door.get("/ping").status_code == 200
    door.repository.declared["linear"]["9"] = door.home / "nowhere.onnx"
    door.run(door.repository.converge())
    try:
        for path in ("/v2/health/ready", "/ping"):
            answer = door.get(path)
            assert answer.status_code in {200, 503}
        assert door.get("/v2/models/linear/versions/9/ready").status_code == 503
        assert door.get("/v2/models/linear/ready").status_code == 200
    finally:
        del door.repository.declared["linear"]["9"]
        door.run(door.repository.converge())
    assert door.get("/v2/health/live").status_code == 200


def test_an_unready_server_says_so_and_names_nothing(tmp_path: Path) -> None:
    with served(tmp_path, {"secret-name": {"1": tmp_path / "nowhere.onnx"}}) as door:
        answer = door.get("/v2/health/ready")
        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        assert "secret-name" not in answer.text
        assert answer.headers["retry-after"]
        assert door.get("/ping").status_code == 503
        assert door.get("/v2/models/secret-name").status_code == 503
        assert door.get("/v1/models/secret-name").status_code == 503
        assert door.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize("of", ["", "/versions/1", "/versions/champion"])
def test_a_model_is_described(door: Served, of: str) -> None:
    told = door.get(f"/v2/models/linear{of}").json()
    assert told["versions"] == ["1", "2"]
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    config = door.get(f"/v2/models/linear{of}/config").json()
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3], "optional": False}]
    ready = door.get(f"/v2/models/linear{of}/ready").json()
    assert (ready["name"], ready["version"], ready["ready"]) == ("linear", "1" if of else "2", True)


def test_statistics_count(door: Served) -> None:
    before = door.get("/v2/models/linear/versions/1/stats").json()["model_stats"][0]
    assert door.post("/v2/models/linear/versions/1/infer", json=BODY).status_code == 200
    after = door.get("/v2/models/linear/versions/1/stats").json()["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 1
    assert {row["version"] for row in door.get("/v2/models/linear/stats").json()["model_stats"]} == {"1", "2"}
    assert {row["name"] for row in door.get("/v2/models/stats").json()["model_stats"]} == {
        "linear",
        "mixed",
        "reciprocal",
    }


@pytest.mark.parametrize("query", ["", "?ordinary"])
def test_inference_is_the_same_on_both_ways(door: Served, query: str) -> None:
    answer = door.post(f"/v2/models/linear/infer{query}", json={**BODY, "id": "mine"})
    assert answer.json() == {
        "model_name": "linear", "model_version": "2", "id": "mine",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [6.0]}],
    }  # fmt: skip
    for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        packed = pack(b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}')
        headers = {"Content-Encoding": encoding}
        assert door.post(f"/v2/models/linear/infer{query}", content=packed, headers=headers).json()["outputs"][0][
            "data"
        ] == [6.0]
    refused = door.post(f"/v2/models/linear/infer{query}", content=b"x", headers={"Content-Encoding": "br"})
    assert refused.status_code == 501
    assert refused.headers["accept-encoding"] == "gzip, deflate"
    bomb = gzip.compress(bytes(10_000_000))
    assert len(bomb) < 20_000
    refused = door.post(f"/v2/models/linear/infer{query}", content=bomb, headers={"Content-Encoding": "gzip"})
    assert refused.status_code == 413
    assert refused.json()["code"] == "too_large"
    refused = door.post(f"/v2/models/linear/infer{query}", json={})
    assert refused.status_code == 400
    assert refused.json()["example"]["inputs"][0]["name"] == "x"


def test_the_stock_client_is_served(door: Served) -> None:
    client = triton.InferenceServerClient(door.url.removeprefix("http://"))
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("linear", "1")
        assert not client.is_model_ready("nope")
        assert client.get_server_metadata()["name"] == "servable"
        assert client.get_model_metadata("mixed")["outputs"][0]["datatype"] == "BYTES"
        assert client.get_model_config("linear")["max_batch_size"] > 0
        assert {row["name"] for row in client.get_model_repository_index()} == {"linear", "mixed", "reciprocal"}
        client.load_model("linear")
        assert client.get_inference_statistics("linear")["model_stats"]
        assert client.get_trace_settings()["trace_level"] == ["OFF"]
        assert client.get_log_settings()["log_error"] is True
        assert client.get_system_shared_memory_status() == []
        assert client.get_cuda_shared_memory_status() == []
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory()
        for compression in (None, "gzip", "deflate"):
            tensor = triton.InferInput("x", [2, 3], "FP32")
            tensor.set_data_from_numpy(np.array([[1, 2, 3], [4, 5, 6]], np.float32))
            result = client.infer(
                "linear",
                [tensor],
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            assert result.as_numpy("y").tolist() == [[6.0], [15.0]]
        with pytest.raises(triton.InferenceServerException, match="share no memory"):
            client.register_system_shared_memory("region", "/region", 64)
    finally:
        client.close()


# ---- the repository


def test_the_index_takes_an_empty_body(door: Served) -> None:
    for body in (None, b"", b"{}", b'{"ready": true}'):
        index = door.post("/v2/repository/index", content=body).json()
        assert {"name": "linear", "version": "1", "state": "READY", "reason": ""} in index
    assert door.post("/v2/repository/index", content=b'{"ready": 5}').status_code == 400
    assert door.post("/v2/repository/index", content=b"[]").status_code == 400
    assert door.post("/v2/repository/index", content=b"[" * 100_000).status_code == 400


def test_a_model_is_unloaded_and_loaded(door: Served) -> None:
    assert door.post("/v2/repository/models/mixed/unload").status_code == 200
    assert door.get("/v2/models/mixed").status_code == 404
    answer = door.post("/v2/repository/models/mixed/load", json={"parameters": {}})
    assert answer.status_code == 200
    assert door.get("/v2/models/mixed/ready").status_code == 200
    assert door.post("/v2/repository/models/nope/load").status_code == 404
    assert door.post("/v2/repository/models/nope/unload").status_code == 404
    assert door.post("/v2/repository/models/mixed/load", json={"parameters": 5}).status_code == 400


@pytest.mark.parametrize("path", ["/v2/repository/other/index", "/v2/repository/other/models/linear/load"])
def test_named_repositories_are_not_offered(door: Served, path: str) -> None:
    answer = door.post(path)
    assert answer.status_code == 501
    assert answer.json()["code"] == "unsupported"


# ---- V1


@pytest.mark.parametrize("of", ["", "/versions/1", "/labels/champion"])
def test_v1(door: Served, of: str) -> None:
    answer = door.post(f"/v1/models/linear{of}:predict", json={"instances": [[1, 2, 3], [4, 5, 6]]})
    assert answer.status_code == 200
    assert answer.json()["predictions"] == [[6.0], [15.0]]
    assert answer.json()["model_version"] == ("1" if of else "2")
    assert answer.json()["id"]
    status = door.get(f"/v1/models/linear{of}").json()
    assert status["ready"] is True
    assert status["model_version_status"][0] == {
        "version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""},
    }  # fmt: skip
    metadata = door.get(f"/v1/models/linear{of}/metadata").json()
    definition = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert [size["size"] for size in definition["inputs"]["x"]["tensor_shape"]["dim"]] == ["-1", "3"]


def test_v1_reads_mixed_columns_and_answers_by_column(door: Served) -> None:
    body = {"instances": [{"age": 20, "job": "clerk"}, {"age": 30, "job": "smith"}]}
    assert door.post("/v1/models/mixed:predict", json=body).json()["predictions"] == [
        {"job_bytes": [{"b64": "Y2xlcms="}], "double": [40.0]}, {"job_bytes": [{"b64": "c21pdGg="}], "double": [60.0]},
    ]  # fmt: skip
    body = {"inputs": {"age": [[20]], "job": [["clerk"]]}, "id": "mine"}
    answer = door.post("/v1/models/mixed:predict", json=body).json()
    assert answer["outputs"]["double"] == [[40.0]]
    assert answer["id"] == "mine"


def test_v1_lists_and_refuses(door: Served) -> None:
    assert door.get("/v1/models").json()["models"] == ["linear", "mixed", "reciprocal"]
    assert door.get("/v1/models/nope").status_code == 404
    assert door.get("/v1/models/linear/versions/77").status_code == 404
    assert door.post("/v1/models/nope:predict", json={"instances": []}).status_code == 404
    assert door.post("/v1/models/linear:classify", json={}).status_code == 501
    refused = door.post("/v1/models/linear:predict", json={"instances": [[1, 2]]})
    assert refused.status_code == 400
    assert door.post("/v1/models/linear:predict", json=refused.json()["example"]).status_code == 200


def test_an_answer_that_json_cannot_hold_is_an_error_that_names_it(door: Served) -> None:
    answer = door.post("/v1/models/reciprocal:predict", json={"instances": [[0.0]]})
    assert answer.status_code == 500
    assert "'y' holds inf" in answer.json()["error"]


def test_a_deadline_in_the_header_is_kept(door: Served) -> None:
    body = {"instances": [[1, 2, 3]]}
    refused = door.post("/v1/models/linear:predict", json=body, headers={"X-Request-Timeout-Ms": "soon"})
    assert refused.status_code == 400
    taken = door.post(
        "/v1/models/linear:predict", json=body, headers={"X-Request-Timeout-Ms": "5000", "X-Request-Id": "me"}
    )
    assert taken.json()["id"] == "me"


# ---- SageMaker and MLflow


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('{"instances": [[1, 2, 3], [4, 5, 6]]}', "application/json"),
        ('{"inputs": [[1, 2, 3], [4, 5, 6]]}', "application/json"),
        ('{"inputs": {"x": [[1, 2, 3], [4, 5, 6]]}, "params": {}}', "application/json; charset=utf-8"),
        ("1,2,3\n4,5,6\n", "text/csv"),
        ("\ufeff1, 2 ,3\r\n\r\n4,5,6", "text/csv"),
    ],
)
def test_invocations_of_the_only_model(single: Served, content: str, kind: str) -> None:
    answer = single.post("/invocations", content=content.encode(), headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [[6.0], [15.0]]
    csv = single.post("/invocations", content=content.encode(), headers={"Content-Type": kind, "Accept": "text/csv"})
    assert csv.text == "6.0\n15.0\n"
    assert csv.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('{"dataframe_split": {"columns": ["job", "age"], "index": [0], "data": [["clerk", 20]]}}', "application/json"),
        ('{"dataframe_records": [{"age": 20, "job": "clerk"}]}', "application/json"),
        ("job,age\nclerk,20\n", "text/csv"),
        ("20,clerk\n", "text/csv"),
    ],
)
def test_invocations_by_column_name_with_the_model_in_a_header(door: Served, content: str, kind: str) -> None:
    headers = {"Content-Type": kind, "X-Amzn-SageMaker-Target-Model": "mixed"}
    answer = door.post("/invocations", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [{"job_bytes": [{"b64": "Y2xlcms="}], "double": [40.0]}]


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        (b"{}", {}, 400, "which model?"),
        (b"{}", {"X-Amzn-SageMaker-Target-Model": "../etc"}, 400, "does not name a model"),
        (b"{}", {"X-Amzn-SageMaker-Target-Model": "nope"}, 404, "no model 'nope'"),
        (b"{}", LINEAR, 400, "none of them"),
        (b'{"instances":[],"inputs":[]}', LINEAR, 400, "instances, inputs"),
        (b'{"dataframe_split":{"columns":["a"]}}', LINEAR, 400, "'columns' and 'data'"),
        (b'{"dataframe_split":{"columns":["a"],"data":[[1,2]]}}', LINEAR, 400, "data[0]"),
        (b"\x80\x04K\x05.", {**LINEAR, "Content-Type": "application/x-pickle"}, 415, "text/csv"),
        (b"\xff,1\n", {**LINEAR, **CSV}, 400, "UTF-8"),
        (b"1,2\n", {**LINEAR, **CSV}, 400, "got shape [1, 2]"),
        (b"a,b,c\n", {**LINEAR, **CSV}, 400, "numbers"),
        (b"age,job\n1,2,3\n", {"X-Amzn-SageMaker-Target-Model": "mixed", **CSV}, 400, "line 2"),
    ],
)  # fmt: skip
def test_invocations_refuse_clearly(door: Served, content: bytes, headers: dict, status: int, said: str) -> None:
    answer = door.post("/invocations", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]
    assert answer.json()["message"] == answer.json()["error"]
    assert answer.json()["error_code"] == answer.json()["code"].upper()


# ---- refusals, whatever the route


def test_an_unknown_route_suggests_the_near_ones(door: Served) -> None:
    answer = door.get("/v2/model/linear")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert answer.json()["near"][0] == "/v2/models/{model}"
    assert "near" not in door.get("/something/else/entirely").json()
    assert door.get("/" + "x" * 5000).json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v2/models/linear/infer"), ("GET", "/v2/models/linear/infer"), ("PUT", "/v2"),
        ("GET", "/v1/models/linear:predict"), ("PATCH", "/v2/health/live"), ("OPTIONS", "/v2/models/linear/infer"),
        ("TRACE", "/metrics"), ("POST", "/metrics"),
    ],
)  # fmt: skip
def test_a_wrong_verb_is_told_the_right_one(door: Served, method: str, path: str) -> None:
    answer = door.http.request(method, door.url + path)
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert answer.headers["allow"]
    assert not any(name.startswith("access-control") for name in answer.headers)


TRAVERSAL = [
    "..", "%2e%2e", "%252e%252e", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "..%5c..%5cwindows", "a%00b",
    "file:%2f%2f%2fetc", "-linear", ".linear", "linear%20", "l%C3%AFnear", "x" * 129, "%ef%bc%8e%ef%bc%8e", "linear;id",
    "$(id)", "linear%0a", "{{7*7}}", "~root", "CON%3a",
]  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSAL)
def test_a_name_that_is_none_reaches_no_handler(door: Served, name: str) -> None:
    for method, path in (
        ("GET", f"/v2/models/{name}"), ("GET", f"/v2/models/linear/versions/{name}"),
        ("POST", f"/v2/models/{name}/infer"), ("POST", f"/v2/models/linear/versions/{name}/infer"),
        ("POST", f"/v2/repository/models/{name}/load"), ("GET", f"/v1/models/{name}"),
        ("POST", f"/v1/models/{name}:predict"), ("GET", f"/v1/models/linear/labels/{name}"),
    ):  # fmt: skip
        answer = _raw(door, method, path)
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 405", b"HTTP/1.1 400")), (path, answer[:100])
        assert b'"error"' in answer
        assert b"root:x:" not in answer


def test_strange_hosts_are_refused(door: Served) -> None:
    port = door.url.rpartition(":")[2]
    for host in (
        "evil.com",
        f"evil.com:{port}",
        "127.0.0.1.evil.com",
        "localhost.evil.com",
        "[::2]",
        "10.0.0.1",
        "127.1",
        "xn--1",
    ):
        for path in ("/v2", "/v2/health/live"):
            answer = door.get(path, headers={"Host": host})
            assert answer.status_code == 403, host
            assert "allowed_hosts" in answer.json()["error"]
        assert door.post("/v2/models/linear/infer", json=BODY, headers={"Host": host}).status_code == 403
    for host in ("127.0.0.1", f"localhost:{port}", "LOCALHOST", "[::1]:80", "localhost."):
        assert door.get("/v2", headers={"Host": host}).status_code == 200, host


def test_allowed_hosts_are_answered(tmp_path: Path) -> None:
    with served(tmp_path, {}, allowed_hosts=("api.example.com",)) as door:
        assert door.get("/v2", headers={"Host": "API.example.com:443"}).status_code == 200
        assert door.get("/v2", headers={"Host": "example.com"}).status_code == 403
        assert door.get("/v2", headers={"Host": "localhost"}).status_code == 200
    with served(tmp_path, {}, allowed_hosts=("*",)) as door:
        assert door.get("/v2", headers={"Host": "anything"}).status_code == 200


def test_pages_that_are_named_may_ask_for_predictions_and_nothing_else(tmp_path: Path) -> None:
    page = "https://app.example.com"
    with served(tmp_path, {"linear": {"1": scaler(tmp_path / "m.onnx")}}, allowed_origins=(page,)) as door:
        path, asks = "/v2/models/linear/infer", {"Origin": page, "Access-Control-Request-Method": "POST"}
        before = door.http.request("OPTIONS", door.url + path, headers=asks)
        assert before.status_code == 204
        assert before.headers["access-control-allow-origin"] == page
        assert "authorization" in before.headers["access-control-allow-headers"]
        answer = door.post(path, json={"rows": [{"x": [1.0, 2.0]}]}, headers={"Origin": page})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, page)
        assert answer.headers["vary"] == "origin"
        for origin, strange in ((page, "/v2/repository/models/linear/load"), ("https://example.com", path)):
            refused = door.post(strange, json={}, headers={"Origin": origin})
            assert refused.status_code == 403
            assert "allow-origin" not in " ".join(refused.headers)
            asked = door.http.request("OPTIONS", door.url + strange, headers={**asks, "Origin": origin})
            assert asked.status_code == 403


@pytest.mark.parametrize(
    "path", ["/v2/models/linear/infer", "/v2/repository/models/mixed/load", "/v1/models/linear:predict"]
)
def test_strange_pages_may_not_post(door: Served, path: str) -> None:
    body = {"instances": [[1, 2, 3]]} if path.endswith("predict") else BODY
    for origin in (
        "http://evil.com",
        "null",
        "http://127.0.0.1:1",
        "https://localhost",
        door.url + ".evil.com",
        "file://",
    ):
        answer = door.post(path, json=body, headers={"Origin": origin})
        assert answer.status_code == 403, origin
        assert "may not call" in answer.json()["error"]
    assert door.post(path, json=body, headers={"Origin": door.url}).status_code == 200
    for kind in (
        "text/plain",
        "Text/Plain; charset=utf-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ):
        refused = door.http.request(
            "POST", door.url + path, content=b"{}", headers={"Origin": door.url, "Content-Type": kind}
        )
        assert refused.status_code == 415, kind
    assert door.get("/v2", headers={"Origin": "http://evil.com"}).headers.get("access-control-allow-origin") is None


def test_every_answer_has_safe_headers(door: Served) -> None:
    for path in ("/v2", "/nowhere", "/docs", "/metrics", "/v2/models/nope"):
        headers = door.get(path).headers
        for name, _ in SAFE_HEADERS:
            assert name.decode() in headers, (path, name)
        assert "server" not in headers


def test_a_long_body_is_refused_before_it_is_read(door: Served) -> None:
    for path in ("/v1/models/linear:predict", "/v2/repository/index", "/invocations"):
        answer = door.post(path, content=b" " * 300_000)
        assert answer.status_code == 413
        chunked = door.post(path, content=(b" " * 1000 for _ in range(300)))
        assert chunked.status_code == 413
        bomb = door.post(path, content=gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"})
        assert bomb.status_code == 413


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"\x00", b"NaN", b'"' + b"x" * 1000, b"{}garbage"]
)
def test_a_hostile_body_never_breaks_a_route(door: Served, body: bytes) -> None:
    for method, path in [(m, p) for p, rows in door.rest.table.items() for m in rows]:
        if method != "POST" or "unload" in path:
            continue
        concrete = re.sub(r"\{(\w+)\}", lambda found: {"model": "linear", "version": "1"}.get(found[1], "x"), path)
        answer = door.post(concrete, content=body)
        assert answer.status_code < 500 or answer.status_code == 501, (path, answer.text)
        assert "Traceback" not in answer.text


def test_the_root_leads_to_the_page(door: Served) -> None:
    answer = door.get("/")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/docs"


def test_pipelined_calls_of_both_ways_keep_their_order(door: Served) -> None:
    fast = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}'
    requests = [
        b"POST /v2/models/linear/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(fast), fast),
        b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v2/models/linear/infer?x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
        % (len(fast), fast),
        b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ]
    answers = _send(door, b"".join(requests))
    marks = [answers.index(mark) for mark in (b'"data":[6.0]', b'{"live":true}', b"no route")]
    assert marks == sorted(marks)
    assert answers.count(b'"data":[6.0]') == 2


def _raw(door: Served, method: str, path: str) -> bytes:
    """A call whose path no client tidies."""
    return _send(
        door, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )


def _send(door: Served, data: bytes) -> bytes:
    host, _, port = door.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(data)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


# ---- what shelves bring


async def _echo(request: Request, body: bytes) -> Response:
    if not body:
        raise InvalidInput("the body: expected bytes, got none")
    return Response(request.path_params["model"].encode() + b" " + body)


ECHO = Offer(Endpoint("POST", "/v2/models/{model}/echo", "feedback", "echo", "Says it again", ANY), _echo)


def test_a_shelf_brings_its_routes(tmp_path: Path) -> None:
    token = Keys(tmp_path).create("teacher", ["feedback"])[0]
    other = Keys(tmp_path).create("caller", ["invoker"])[0]
    with served(tmp_path, {}, offers=[ECHO], require_key=True, max_decompressed_bytes=1000) as door:

        def post(content: bytes, key: str = token, **headers: str) -> httpx.Response:
            return door.post("/v2/models/m/echo", content=content, headers={"X-API-Key": key, **headers})

        assert post(gzip.compress(b"hello"), **{"Content-Encoding": "gzip"}).content == b"m hello"
        assert post(b"").json() == {"error": "the body: expected bytes, got none", "code": "invalid_input"}
        assert post(b"hello", other).status_code == 403
        assert post(gzip.compress(bytes(2000)), **{"Content-Encoding": "gzip"}).status_code == 413
        assert door.get("/v2/models/m/echo", headers={"X-API-Key": token}).status_code in {403, 405}
