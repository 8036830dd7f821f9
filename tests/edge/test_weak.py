"""A device that is too weak for a model leaves it to the server: by its memory, told or found out, and by its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servable.bundles.load import Predictor
from servable.edge.devices import browsing
from servable.edge.export import export
from servable.edge.life import life_of
from tests.e2e.serving import Serving
from tests.edge.test_client import asked
from tests.edge.updating import Publisher, in_node, publishing

pytestmark = pytest.mark.timeout(300)
MIB = 2**20
ROW = '{ age: 40, income: 2500, city: "north", kind: "a" }'
LITTLE = "Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 0.1 });"
WITHOUT_ROOM = "--js-flags=--wasm-max-mem-pages=16"
"""A mebibyte for WebAssembly, less than onnxruntime begins with: a real allocation fails."""


@pytest.mark.parametrize(
    ("model", "memory", "fits"),
    [
        (1, 8192 * MIB, True),
        (MIB, 256 * MIB, True),  # with the runtime half of a small phone
        (MIB, 128 * MIB, False),
        (500 * MIB, 8192 * MIB, True),
        (500 * MIB, 2048 * MIB, False),
        (500 * MIB, 0, True),  # a browser that does not tell
    ],
)
def test_memory(model: int, memory: int, fits: bool) -> None:
    script = "m.tooLarge({ name: 'loan', file: { bytes: given[0] } }, given[1])"
    assert (asked("weak.js", script, [model, memory]) is None) == fits


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ([90] * 4, None),  # too few to tell
        ([1, 90, 90, 90, 90], "an answer takes 90 ms on this device, at most 50 are allowed"),
        ([1, 1, 1, 90, 90], None),  # now and then
        ([50] * 9, None),
    ],
)
def test_time(times: list[float], why: str | None) -> None:
    assert asked("weak.js", "m.tooSlow(given, 50)", times) == why


def test_what_engines_say_of_memory() -> None:
    said = ["std::bad_alloc", "WebAssembly.Memory(): could not allocate memory", "Array buffer allocation failed"]
    other = ["input 'x' has no such shape", "the model takes text, got a missing value"]
    script = "given.map((message) => m.outOfMemory({ message }))"
    assert asked("weak.js", script, [*said, *other]) == [True] * len(said) + [False] * len(other)


@pytest.fixture(scope="module")
def publisher(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with publishing(predictor, tmp_path_factory.mktemp("published")) as publisher:
        yield publisher


@pytest.fixture(scope="module")
def web(publisher: Publisher, packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An export whose server is up."""
    home, origins = tmp_path_factory.mktemp("home"), publisher.url.rstrip("/")
    with Serving(home, packed, workers=1, allowed_origins=origins) as server:
        life = life_of(server=f"http://127.0.0.1:{server.ready().port}")
        export(publisher.predictor, "1", publisher.root / "web", proof=False, life=life)
        export(publisher.predictor, "1", publisher.root / "alone", proof=False)
        yield publisher.root / "web"


def page_of(browser: Any, publisher: Publisher, name: str, script: str = "") -> Any:
    page = browser.new_context().new_page()
    page.add_init_script(script)
    page.goto(f"{publisher.url}{name}/")
    page.wait_for_selector("body[data-ready]")
    return page


def test_a_page_on_a_device_with_little_memory_asks_the_server(web: Path, publisher: Publisher) -> None:
    with browsing() as (browser, _):
        page = page_of(browser, publisher, web.name, LITTLE)
        assert page.inner_text("#state") == "what you type is sent to a server"
        assert "needs about 64 MiB of memory, and this device has 102 MiB" in page.inner_text("#life")
        assert page.evaluate(f"model.predict([{ROW}]).then(({{ id }}) => id !== undefined)")  # only servers give ids
        alone = page_of(browser, publisher, "alone", LITTLE)  # without a server it is tried all the same
        assert alone.get_attribute("body", "data-ready") == "true"


def test_an_allocation_that_fails_is_told_or_the_server_is_asked(web: Path, publisher: Publisher) -> None:
    with browsing(WITHOUT_ROOM) as (browser, _):
        page = page_of(browser, publisher, web.name)
        assert "this device has too little memory for 'loan'" in page.inner_text("#life")
        assert page.evaluate(f"model.predict([{ROW}]).then(({{ id }}) => id !== undefined)")
        alone = page_of(browser, publisher, "alone")
        assert alone.inner_text("#name") == "The model cannot be loaded"
        assert "this device has too little memory for 'loan' (a model of" in alone.inner_text("#state")


def test_memory_that_ends_during_an_answer(web: Path, tmp_path: Path) -> None:
    script = """(async () => {
      model.editions.model.session.run = async () => { throw new RangeError("Array buffer allocation failed"); };
      return [(await model.predict([row])).id !== undefined, model.away];
    })()"""
    answered, away = in_node(web, tmp_path, script)
    assert answered
    assert away == (
        "the server answers: this device has too little memory: onnxruntime: Array buffer allocation failed"
    )
