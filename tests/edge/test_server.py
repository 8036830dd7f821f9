"""A server answers where the device cannot or may not: by the same contract, and the page says so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from servable.bundles.load import Predictor
from servable.edge.devices import browsing
from servable.edge.export import export
from servable.edge.life import life_of
from servable.errors import UsageError
from tests.e2e.serving import Serving
from tests.edge.updating import Publisher, in_node

pytestmark = pytest.mark.timeout(300)
REFUSED = "model.predict([{ ...row, age: 17 }]).catch((error) => [error.code, error.rules[0].rule])"


@pytest.fixture(scope="module")
def server(world: Publisher, packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    origins = world.url.rstrip("/")
    with Serving(tmp_path_factory.mktemp("home"), packed, workers=1, allowed_origins=origins) as server:
        yield server.ready()


@pytest.fixture(scope="module")
def web(world: Publisher, server: Serving) -> Path:
    """An export that is too slow as soon as it has answered."""
    folder = world.root / "web"
    life = life_of(server=f"http://127.0.0.1:{server.port}", slowest_ms=1e-9)
    export(world.predictor, "1", folder, proof=False, life=life)
    return folder


def test_what_is_too_slow_here_is_asked_of_the_server(web: Path, tmp_path: Path) -> None:
    script = """(async () => {
      const ids = [];
      for (let asked = 0; asked < 6; asked++) ids.push((await model.predict([row])).id !== undefined);
      return [ids, model.away, await (%s)];
    })()"""
    ids, away, refused = in_node(web, tmp_path, script % REFUSED)
    assert ids == [False] * 5 + [True]  # only servers give ids
    assert "an answer takes" in away
    assert refused == ["refused", "adult"]


def test_a_server_that_cannot_be_reached_is_told(web: Path, tmp_path: Path) -> None:
    folder = tmp_path / "web"
    shutil.copytree(web, folder)
    settings = folder / "settings.js"
    settings.write_text(settings.read_text().replace('"server":"http://127.0.0.1:', '"server":"http://127.0.0.2:'))
    script = """(model.away = "as told", model.predict([row])).catch((error) => [error.code, error.message])"""
    code, message = in_node(folder, tmp_path / "keep", script)
    assert code == "unavailable"
    assert "the server that would answer in place of this device cannot be reached" in message


def test_a_browser_without_simd_asks_the_server_of_another_origin(web: Path, world: Publisher) -> None:
    with browsing() as (browser, _):
        page = browser.new_page()
        page.add_init_script("WebAssembly.validate = () => false;")
        page.goto(f"{world.url}{web.name}/")
        page.wait_for_selector("body[data-ready=true]")
        assert page.inner_text("#state") == "what you type is sent to a server"
        assert "this browser has no WebAssembly with SIMD" in page.inner_text("#life")
        for name, value in {"age": "40", "income": "2500", "city": "north", "kind": "a"}.items():
            page.fill(f"[name={name}]", value)
        page.click("button")
        page.wait_for_selector("#answer table")
        page.fill("[name=age]", "17")
        page.click("button")
        page.wait_for_selector(".refused")
        assert page.inner_text(".refused") == "we lend to adults only: expected 'age' at least 18, got 17 (row 0)"


def test_what_people_say_must_fit() -> None:
    assert life_of() is None
    with pytest.raises(UsageError, match="add --server URL"):
        life_of(slowest_ms=5)
    with pytest.raises(UsageError, match="no URL of a folder, or of a server"):
        life_of(server="example")


def test_a_target_without_a_life_names_what_was_asked_of_it(predictor: Predictor, tmp_path: Path) -> None:
    life = life_of(server="https://example.com", share=0.1)
    with pytest.raises(UsageError, match="the target 'inline' knows no --records, --server: leave that out"):
        export(predictor, "1", tmp_path / "web", target="inline", life=life)
