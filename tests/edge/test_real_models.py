"""Models that others made and use, exported: what a browser and Node answer is what the server does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import servable
from servable.bundles.load import load
from servable.edge.devices import browsing, serving
from servable.edge.export import export
from tests.e2e.test_onnx_models import path_of, speech

pytestmark = pytest.mark.timeout(600)
SAMPLES, CHUNKS = 512, 12


def test_a_stream_of_speech_in_the_browser(tmp_path: Path) -> None:
    """The state of one call is handed to the next, on the page, as a recorder would."""
    chunks = speech(0, "silero_vad", CHUNKS)
    state = np.zeros((2, 1, 128), np.float32)
    rate = np.array(16_000, np.int64)
    servable.pack(
        path_of("silero_vad"), name="vad", sample={"input": chunks[0], "state": state, "sr": rate},
        output=tmp_path / "bundle",
    )  # fmt: skip
    with load(tmp_path / "bundle") as predictor:
        made = export(predictor, "1", tmp_path / "web")
    assert made.proven
    for device in made.devices:
        assert device.answered >= 7
        assert device.largest["output"] < 1e-4
    script = """async (chunks) => {
      let state = { name: "state", datatype: "FP32", shape: [2, 1, 128], data: new Float32Array(256) };
      const sr = { name: "sr", datatype: "INT64", shape: [], data: 16000 };
      const told = [];
      for (const data of chunks) {
        const input = { name: "input", datatype: "FP32", shape: [1, data.length], data: Float32Array.from(data) };
        const { outputs } = await model.infer([input, state, sr]);
        told.push(outputs[0].data[0]);
        state = { ...outputs[1], name: "state" };
      }
      return told;
    }"""
    with browsing() as (browser, _), serving(tmp_path / "web") as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=true]")
        told = page.evaluate(script, [chunk.ravel().tolist() for chunk in chunks])
        page.fill("[name=input]", json.dumps(chunks[0].tolist()))
        page.fill("[name=state]", json.dumps(state.tolist()))
        page.fill("[name=sr]", "16000")
        page.click("button")
        page.wait_for_selector("#answer table")
        shown = page.inner_text("#answer tr:first-child td:last-child")
    session = onnxruntime.InferenceSession(str(path_of("silero_vad")))
    expected = []
    for chunk in chunks:
        speaks, state = session.run(None, {"input": chunk, "state": state, "sr": rate})
        expected.append(float(speaks[0, 0]))
    np.testing.assert_allclose(told, expected, atol=1e-4)
    assert json.loads(shown)[0] == pytest.approx(expected[0], abs=1e-4)


def head_and_tail(data: bytes) -> list[int]:
    """A file as the model of file types takes it: 1,024 bytes of each end, 256 where there are none."""
    start, end = list(data[:1024]), list(data[-1024:])
    return start + [256] * (1024 - len(start)) + [256] * (1024 - len(end)) + end


@pytest.mark.faults
def test_file_types_in_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servable.edge.cases.MOST_ALONE", 60)
    root = Path(__file__).parents[2]
    files = [*sorted(root.glob("docs/*"))[:24], *sorted(root.glob("src/servable/edge/client/*")), root / "Makefile"]
    rows = np.array([head_and_tail(file.read_bytes().strip()) for file in files if file.is_file()], np.int32)
    servable.pack(path_of("magika"), name="magika", sample={"bytes": rows}, output=tmp_path / "bundle")
    with load(tmp_path / "bundle") as predictor:
        made = export(predictor, "1", tmp_path / "web")
    assert made.proven
    for device in made.devices:
        assert device.answered > 40
        assert device.largest["target_label"] < 1e-3


def test_rows_of_any_length(tmp_path: Path) -> None:
    """A free axis beside the rows: lists of one length in one request, of another in the next."""
    from onnx import TensorProto, helper

    def value(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)], "g", [value("x", "n", "k")],
        [value("y", "n", 1)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "mean.onnx").write_bytes(model.SerializeToString())
    sample = np.arange(12, dtype=np.float32).reshape(3, 4)
    servable.pack(tmp_path / "mean.onnx", name="mean", sample={"x": sample}, output=tmp_path / "bundle")
    with load(tmp_path / "bundle") as predictor:
        assert predictor.signature.inputs[0].shape == (-1, -1)
        made = export(predictor, "1", tmp_path / "web")
    assert made.proven
    with browsing() as (browser, _), serving(tmp_path / "web") as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=true]")
        ask = "(rows) => model.predict(rows).then(({ rows }) => rows, (error) => error.message)"
        assert page.evaluate(ask, [{"x": [1, 2, 3]}, {"x": [4, 5, 9]}]) == [{"y": 2}, {"y": 6}]
        assert page.evaluate(ask, [{"x": [1, 2, 3, 4, 5]}]) == [{"y": 3}]
        told = page.evaluate(ask, [{"x": [1, 2]}, {"x": [1]}])
    assert told.endswith("'x': expected values nested as shape [2, 2], got lists of different lengths")
