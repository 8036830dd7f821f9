"""An exported model answers and refuses as the server does: in a real browser, offline too, and in Node."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from servable.bundles.load import Predictor
from servable.edge import export as exporting
from servable.edge.devices import browsing, in_node, serving
from servable.edge.export import export
from servable.edge.targets import PLACES, target_of
from servable.errors import CheckFailed, Unsupported, UsageError
from tests.cli.command import servable
from tests.edge.exported import Exported, ExportTo

pytestmark = pytest.mark.timeout(300)
MOST_CLIENT_BYTES = 15_000
MOST_BYTES = 100_000


@pytest.fixture(scope="module")
def exported(exported_to: ExportTo) -> Exported:
    return exported_to("browser")


def test_browser_and_node_answer_as_the_server(exported: Exported) -> None:
    folder, made = exported
    assert made.proven
    assert [device.device.split()[0] for device in made.devices] == ["Chromium", "Node"]
    for device in made.devices:
        assert device.answered > 100
        assert device.refused > 40
        assert device.largest["prediction"] < 0.01
    written = json.loads((folder / "parity.json").read_text())
    assert written["proven"] is True
    assert "Proven equal" in (folder / "parity.html").read_text()
    assert json.loads((folder / "package.json").read_text())["servable"]["variant"] == "original"


def test_it_is_small(exported: Exported) -> None:
    sizes = exported[1].bytes
    assert sizes["the client, gzipped"] <= MOST_CLIENT_BYTES
    assert sizes["the page without the runtime"] <= MOST_BYTES


def test_the_page_is_a_form_that_works_without_a_network(exported: Exported) -> None:
    with browsing() as (browser, _):
        page = browser.new_context().new_page()
        with serving(exported[0]) as url:
            page.goto(url)
            page.wait_for_selector("body[data-ready=true]")
            page.evaluate("navigator.serviceWorker.ready.then(() => true)")
            page.reload()  # a worker takes a page over from its next load on
            page.wait_for_function("navigator.serviceWorker.controller !== null")
        page.reload()  # the server is gone
        page.wait_for_selector("body[data-ready=true]")
        assert page.evaluate("crossOriginIsolated") is True
        page.fill("[name=age]", "40")
        page.fill("[name=income]", "2500")
        page.fill("[name=city]", "north")
        page.click("button")
        page.wait_for_selector("#answer table")
        assert "prediction" in page.inner_text("#answer")
        assert "rule.with-kind" in page.inner_text("#answer")
        page.fill("[name=age]", "17")
        page.click("button")
        page.wait_for_selector(".refused")
        assert page.inner_text(".refused") == "we lend to adults only: expected 'age' at least 18, got 17 (row 0)"
        page.fill("[name=age]", "old")
        page.click("button")
        page.wait_for_selector("text=expected numbers for INT64, got text")


def test_a_model_that_was_changed_on_its_way_is_not_run(exported: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    for file in exported[0].iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes((exported[0] / "model.onnx").read_bytes()[:-1])
    with browsing() as (browser, _), serving(folder) as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=false]")
        assert "the file was cut off or changed on its way" in page.inner_text("#state")


def test_an_export_that_answers_otherwise_is_not_made(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [{"rows": [{"age": 40, "income": 3000, "city": "north", "kind": "a"}]}]
    monkeypatch.setattr(exporting, "bodies", lambda *_, **__: asked)
    node = msgspec.structs.replace(target_of("browser"), devices=(in_node,))
    monkeypatch.setattr(exporting, "target_of", lambda _: node)
    real = exporting.answers
    other = [{"prediction": 1.0}]
    monkeypatch.setattr(exporting, "answers", lambda *given: [{**told, "rows": other} for told in real(*given)])
    with pytest.raises(CheckFailed, match="does not answer as the server does"):
        export(predictor, "3", tmp_path / "web", target="node")
    assert {file.name for file in (tmp_path / "web").iterdir()} == {"parity.json", "parity.html"}
    with pytest.raises(UsageError, match="new or empty"):
        export(predictor, "3", tmp_path / "web")


def test_what_stands_in_the_way_is_listed(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servable.edge.obstacles.MOST_BYTES", 1)
    with pytest.raises(Unsupported, match="a device takes at most 1") as told:
        export(predictor, "3", tmp_path / "web")
    assert "distil a smaller one" in told.value.detail["obstacles"][0]["fix"]


def test_every_place_is_a_line_that_its_file_and_the_help_of_the_command_follow(packed: Path, tmp_path: Path) -> None:
    told = servable("export", "--help")
    shown = "".join(told.out.replace("│", " ").split())
    for name, place in PLACES.items():
        assert target_of(name).name == name
        assert "".join(f"{name}: {place.makes}".split()) in shown
    told = servable("export", packed, "--target", "moon", "--output", tmp_path / "web", "--home", tmp_path)
    assert (told.code, "expected one of browser, inline, mobile" in told.err) == (2, True)


def test_the_command_says_where_nothing_was_proven(packed: Path, tmp_path: Path) -> None:
    told = servable("export", packed, "--output", tmp_path / "web", "--inline", "--no-proof", "--home", tmp_path)
    assert told.code == 0, told
    assert "not proven" in told.err
    assert json.loads((tmp_path / "web" / "parity.json").read_text())["proven"] is False
    assert "Not proven" in (tmp_path / "web" / "parity.html").read_text()
