"""The SDK against a real server, with a real model."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import servable
from servable.client import exchange, tables
from servable.errors import DeadlineExceeded, InvalidInput, NotFound, ServableError, Unavailable, UsageError
from tests.e2e.serving import Serving, write_model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("client")
    with Serving(folder, write_model(folder / "line.onnx", 0.5), workers=1, grpc_port=-1) as running:
        yield running.ready()


@pytest.fixture
def url(server: Serving) -> str:
    return f"http://{server.host}:{server.port}"


def test_arrays_and_frames_come_back_as_they_went(url: str) -> None:
    with servable.Client(url) as client:
        assert client.ready()
        outputs = client.predict("line", {"x": [[1.0], [2.0]]}, id="mine")
        np.testing.assert_array_equal(outputs["y"], np.array([[2.5], [4.5]], np.float32))
        frame = pd.DataFrame({"x": [3, 4]}, index=["a", "b"])
        answer = client.predict("line:1", frame)
        assert answer.index.tolist() == ["a", "b"]
        assert answer["y"].tolist() == [6.5, 8.5]
        assert client.models()[0]["state"] == "READY"


def test_the_same_without_waiting(url: str) -> None:
    async def story() -> None:
        async with servable.AsyncClient(url) as client:
            assert await client.ready()
            many = await asyncio.gather(*(client.predict("line", {"x": [[float(n)]]}) for n in range(50)))
            assert [float(outputs["y"][0, 0]) for outputs in many] == [2 * n + 0.5 for n in range(50)]
            assert (await client.models())[0]["name"] == "line"
            with pytest.raises(NotFound, match="no model 'nope'"):
                await client.predict("nope", {"x": [[1.0]]})

    asyncio.run(story())


def test_errors_are_those_that_the_server_told(url: str) -> None:
    with servable.Client(url) as client:
        with pytest.raises(NotFound, match="did you mean 'line'"):
            client.predict("lime", {"x": [[1.0]]})
        with pytest.raises(InvalidInput, match="no input 'z'"):
            client.predict("line", {"z": [[1.0]]})
        with pytest.raises(InvalidInput) as caught:
            client.predict("line", {"x": [[1.0, 2.0]]})
        assert caught.value.detail["faults"] == ["'x': expected shape [-1, 1], got shape [1, 2]"]
        with pytest.raises(DeadlineExceeded):
            client.predict("line", {"x": [[1.0]]}, timeout_s=1e-6)
        with pytest.raises(UsageError):
            client.predict("no/such name", {"x": [[1.0]]})
    with pytest.raises(UsageError, match="http://HOST:PORT"):
        servable.Client("localhost:8080")


METADATA = {
    "inputs": [
        {"name": "age", "datatype": "FP32", "shape": [-1]},
        {"name": "zone", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "count", "datatype": "INT8", "shape": [-1]},
    ]
}


def test_columns_go_by_name_and_categories_as_text() -> None:
    frame = pd.DataFrame(
        {
            "count": [1, 2, 3],
            "zone": [8.0, np.nan, 9.0],
            "age": [1.5, None, 3],
            "when": pd.to_datetime(["2026-01-01"] * 3),
        }
    )
    arrays = tables._of_frame(frame, METADATA)
    assert arrays["zone"].tolist() == [["8"], [None], ["9"]]
    assert arrays["age"].dtype == np.float32
    assert np.isnan(arrays["age"][1])
    assert arrays["count"].dtype == np.int8
    with pytest.raises(InvalidInput, match="lacks the column 'zone'"):
        tables._of_frame(frame.drop(columns="zone"), METADATA)


MAY_LACK = {
    "inputs": [
        {"name": "age", "datatype": "FP32", "shape": [-1, 1], "values": "missing"},
        {"name": "zone", "datatype": "BYTES", "shape": [-1, 1], "values": "missing"},
        {"name": "member", "datatype": "BOOL", "shape": [-1, 1]},
    ],
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "features": ["no", "yes"]},
    ],
}


def test_what_may_be_missing_may_be_absent_but_not_misspelt() -> None:
    rows = [{"zone": pd.NA, "member": True}, {"zone": "b", "member": np.False_}]
    for data in (pd.DataFrame(rows), rows):
        arrays = tables.arrays_of(data, MAY_LACK)
        assert np.isnan(arrays["age"]).all()
        assert arrays["age"].shape == (2, 1)
        assert arrays["zone"].tolist() == [[None], ["b"]]
        assert arrays["member"].tolist() == [[True], [False]]
    with pytest.raises(InvalidInput, match=r"lacks the column 'age' .is 'agee' meant for it"):
        tables.arrays_of(pd.DataFrame(rows).assign(agee=1.0), MAY_LACK)
    with pytest.raises(InvalidInput, match="lacks the column 'member'"):
        tables.arrays_of(pd.DataFrame({"age": [1.0]}), MAY_LACK)
    whole = pd.DataFrame({"age": [pd.NA, 2], "zone": ["a", "b"], "member": [0, 1], "more": ["is", "ignored"]})
    assert tables.arrays_of(whole, MAY_LACK)["age"].tolist()[1] == [2.0]
    with pytest.raises(InvalidInput, match="'zone' more than once"):
        tables.arrays_of(pd.concat([whole, whole[["zone"]]], axis=1), MAY_LACK)
    with pytest.raises(InvalidInput, match="'member': expected numbers that fit BOOL, got 2"):
        tables.arrays_of(whole.assign(member=2), MAY_LACK)


@pytest.mark.parametrize("data", [None, "text", 5, [[1.0, 2.0]], np.zeros((2, 2))])
def test_what_is_no_table_is_told_what_would_be_one(data: object) -> None:
    with pytest.raises(InvalidInput, match=r"expected a DataFrame, a list of rows .*'age', 'zone', 'member'"):
        tables.arrays_of(data, MAY_LACK)


def test_an_answer_is_the_table_that_a_loaded_model_gives() -> None:
    outputs = {"label": np.array(["no"], object), "probabilities": np.array([[0.75, 0.25]], np.float32)}
    frame = tables.frame_of(outputs, pd.Index(["a"]), MAY_LACK)
    assert frame.to_dict("index") == {"a": {"label": "no", "probabilities_no": 0.75, "probabilities_yes": 0.25}}
    empty = tables.frame_of({"label": np.empty(0, object), "probabilities": np.empty((0, 2))}, pd.Index([]), MAY_LACK)
    assert empty.columns.tolist() == ["label", "probabilities_no", "probabilities_yes"]


def test_a_server_that_is_not_there_is_an_error_that_says_so() -> None:
    with servable.Client("http://127.0.0.1:1") as client:
        for ask in (
            client.ready,
            client.models,
            client.registry.models,
            lambda: client.predict("line", {"x": [[1.0]]}),
        ):
            with pytest.raises(Unavailable, match=r"cannot reach http://127.0.0.1:1.*is the server up"):
                ask()


def test_cells_may_be_lists_as_in_the_rows_of_a_request() -> None:
    metadata = {
        "inputs": [
            {"name": "x", "datatype": "FP64", "shape": [-1, 3]},
            {"name": "n", "datatype": "INT32", "shape": [-1]},
        ]
    }
    rows = [{"x": [1.0, 2.0, 3], "n": 1}, {"x": (4, 5, 6), "n": 2}]
    for data in (rows, pd.DataFrame(rows), {"x": [[1, 2, 3], [4, 5, 6]], "n": [1, 2]}):
        arrays = tables.arrays_of(data, metadata)
        np.testing.assert_array_equal(arrays["x"], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        assert arrays["n"].tolist() == [1, 2]
    with pytest.raises(
        InvalidInput, match=r"input 'x': expected as many values in every row, got rows of \[2\], \[3\]"
    ):
        tables.arrays_of([{"x": [1.0, 2.0], "n": 1}, {"x": [4.0, 5.0, 6.0], "n": 2}], metadata)


@pytest.mark.parametrize("values", [[300], [1.5], ["text"]])
def test_what_does_not_fit_is_refused_before_it_is_sent(values: list[object]) -> None:
    with pytest.raises(InvalidInput, match="input 'count'"):
        tables._of_mapping({"count": values}, METADATA)


def test_an_answer_that_is_no_json_is_an_error_that_shows_it() -> None:
    error = exchange.failure(502, b"<html>bad gateway</html>")
    assert type(error) is ServableError
    assert "502" in error.message
    assert "bad gateway" in error.message


def test_importing_the_sdk_brings_no_server(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, servable; servable.Client; "
        "heavy = {'onnxruntime', 'uvicorn', 'starlette', 'grpc', 'typer', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "assert not any(name.startswith(('servable.engine', 'servable.server')) for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
