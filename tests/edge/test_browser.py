"""What a page makes of the browser that opens it: threads, a graphics card, or too little of either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import servable
from servable.bundles.load import load
from servable.edge.devices import browsing, serving
from servable.edge.export import export

pytestmark = pytest.mark.timeout(300)
WIDTH = 1024
WITHOUT_SIMD = "--js-flags=--no-enable-sse4-1"
"""The instructions that WebAssembly's SIMD is made of on this kind of processor."""
WITH_A_CARD = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
"""A graphics card in software."""
ASK = """async (device) => {
  const { load } = await import(new URL("browser.js", location).href);
  const model = await load({ device });
  const { rows } = await model.predict([{ x: Array.from({ length: 1024 }, (_, at) => Math.sin(at)) }]);
  return [model.device, rows[0].y.slice(0, 5)];
}"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """A layer of 4 MB, large enough for threads, exported for graphics cards too; and its answer."""

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH])

    folder = tmp_path_factory.mktemp("layer")
    weight = np.random.default_rng(0).normal(0, 0.03, (WIDTH, WIDTH)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])], "g", [value("x")],
        [value("y")], [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "layer.onnx").write_bytes(model.SerializeToString())
    servable.pack(folder / "layer.onnx", name="layer", output=folder / "bundle")
    with load(folder / "bundle") as predictor:
        export(predictor, "1", folder / "web", proof=False, options=frozenset({"webgpu"}))
    answer = np.tanh(np.sin(np.arange(WIDTH)).astype(np.float32) @ weight)
    return folder / "web", answer[:5].tolist()


def test_a_graphics_card_is_used_where_there_is_one(exported: tuple[Path, list[float]]) -> None:
    folder, expected = exported
    with browsing(*WITH_A_CARD) as (browser, _), serving(folder) as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=true]")
        device, found = page.evaluate(ASK, "webgpu")
    assert device == "webgpu"
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_without_a_card_webassembly_answers_on_threads(exported: tuple[Path, list[float]]) -> None:
    folder, expected = exported
    with browsing() as (browser, _), serving(folder) as url:
        page = browser.new_context().new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=true]")
        assert page.workers == []  # nothing isolates the page yet
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.reload()
        page.wait_for_function("crossOriginIsolated && document.body.dataset.ready === 'true'")
        threads = page.workers
        device, found = page.evaluate(ASK, "webgpu")
    assert (device, len(threads) > 0) == ("wasm", True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_export_without_the_cards_runtime_answers_all_the_same(
    exported: tuple[Path, list[float]], tmp_path: Path
) -> None:
    for file in exported[0].rglob("*"):
        if file.is_file() and "webgpu" not in file.name and "asyncify" not in file.name:
            place = tmp_path / file.relative_to(exported[0])
            place.parent.mkdir(exist_ok=True)
            place.symlink_to(file)
    with browsing(*WITH_A_CARD) as (browser, _), serving(tmp_path) as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=true]")
        assert page.evaluate(ASK, "webgpu")[0] == "wasm"


def test_a_browser_without_simd_is_told_so(exported: tuple[Path, list[float]]) -> None:
    with browsing(WITHOUT_SIMD) as (browser, _), serving(exported[0]) as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=false]")
        assert page.inner_text("#name") == "The model cannot be loaded"
        assert "this browser has no WebAssembly with SIMD" in page.inner_text("#state")
        assert "or ask a server" in page.inner_text("#state")
