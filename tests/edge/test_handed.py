"""Rules that hand rows over to a model that is not on the device: a server is asked for them, also by the proof."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import servable
from servable.domain.ref import Ref
from servable.edge.desktop import in_python
from servable.edge.devices import browsing, in_node, serving
from servable.edge.export import export
from servable.edge.handed import Door, door
from servable.edge.life import life_of
from servable.edge.report import Report
from servable.errors import Unsupported, UsageError
from servable.registry.registry import Registry

pytestmark = pytest.mark.timeout(300)
RULES: list[dict[str, Any]] = [
    {"name": "young", "column": "age", "low": 0, "action": "refuse"},
    {"name": "old", "column": "age", "high": 80, "action": "fallback", "fallback": "simple"},
    {"name": "dear", "when": "output.prediction > 900", "action": "fallback", "fallback": "simple@champion"},
    {"name": "fixed", "column": "income", "high": 9000, "action": "answer", "answer": {"prediction": 7.0}},
]
OWN, OLD, DEAR, BOTH = ({"rows": rows} for rows in (
    [{"age": 40, "income": 3000.0}], [{"age": 90, "income": 3000.0}], [{"age": 79, "income": 8000.0}],
    [{"age": 40, "income": 3000.0}, {"age": 90, "income": 3000.0}, {"age": 50, "income": 9999.0}],
))  # fmt: skip


class Made(NamedTuple):
    """A home with both models, and an export that was proven with a server of its own."""

    home: Path
    folder: Path
    report: Report


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    place = tmp_path_factory.mktemp("handed")
    home = place / "home"
    registry = Registry(home)
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"age": random.integers(18, 80, 60), "income": random.normal(3000, 800, 60).round(2)})
    price = frame.age * 10 + frame.income / 20
    for name, columns in (("simple", ["age"]), ("loan", ["age", "income"])):
        model = LinearRegression().fit(frame[columns], price)
        rules = RULES if name == "loan" else []
        servable.pack(model, name=name, sample=frame[columns], rules=rules, output=place / name)
        registry.register(place / name)
        registry.promote(Ref(name, "1"))
    with pytest.MonkeyPatch.context() as patch, servable.load("loan", home=home) as predictor:
        patch.setattr("servable.edge.cases.MOST_ALONE", 40)
        report = export(
            predictor,
            "1",
            place / "web",
            life=life_of(server="http://127.0.0.1:9"),
            door=partial(door, home, "loan", "1"),
        )
        yield Made(home, place / "web", report)


@pytest.fixture(scope="module")
def server(made: Made) -> Iterator[Door]:
    with door(made.home, "loan", "1") as opened:
        yield opened


def at(made: Made, server: Door, folder: Path) -> Path:
    """The export with that server."""
    shutil.copytree(made.folder, folder)
    settings = folder / "settings.js"
    settings.write_text(settings.read_text().replace("http://127.0.0.1:9/", f"{server.url}/"))
    return folder


def test_the_proof_asks_a_real_server(made: Made) -> None:
    assert made.report.proven
    assert [device.device.split()[0] for device in made.report.devices] == ["Chromium", "Node"]
    assert all(device.answered > 40 for device in made.report.devices)
    assert not (made.folder.parent / "proof").exists()
    assert not (made.folder / "kept").exists()


def test_the_whole_is_asked_of_the_server_and_the_rest_is_answered_here(
    made: Made, server: Door, tmp_path: Path
) -> None:
    told = in_node(at(made, server, tmp_path / "web"), [OWN, OLD, DEAR, BOTH]).told
    assert ["id" in answer for answer in told] == [False, True, True, True]  # only servers give ids
    assert told[1]["parameters"] == {"rule.old": "fallback to simple:1 rows 0"}
    assert told[2]["parameters"] == {"rule.dear": "fallback to simple:1 rows 0"}
    assert told[3]["parameters"]["rule.fixed"] == "answer rows 2"
    assert told[3]["rows"][0]["prediction"] == pytest.approx(told[0]["rows"][0]["prediction"])
    assert told[3]["rows"][1] == told[1]["rows"][0]


def test_without_a_network_it_says_what_it_lacks_and_answers_the_rest(made: Made) -> None:
    (own, young, old) = in_node(made.folder, [OWN, {"rows": [{"age": -1, "income": 1.0}]}, OLD]).told
    assert "rows" in own
    assert young["code"] == "refused"
    assert (old["code"], old["rule"], old["fallback"]) == ("unavailable", "old", "simple")
    assert old["error"].startswith(
        "rule 'old' hands rows 0 over to 'simple', which is not on this device; the server that would answer"
    )
    shutil.rmtree(made.folder / "kept")  # of Node


def test_a_page_says_so_under_its_form(made: Made, server: Door, tmp_path: Path) -> None:
    with browsing() as (browser, _), serving(at(made, server, tmp_path / "web"), server.page_port) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-ready=true]")
        page.fill("[name=age]", "90")
        page.fill("[name=income]", "3000")
        page.click("button")
        page.wait_for_selector("#answer table")
        assert "fallback to simple:1 rows 0" in page.inner_text("#answer")
        context.set_offline(True)
        page.click("button")
        page.wait_for_selector(".refused")
        assert "hands rows 0 over to 'simple', which is not on this device" in page.inner_text(".refused")


def test_without_a_server_it_stays_an_obstacle(made: Made, tmp_path: Path) -> None:
    with servable.load("loan", home=made.home) as predictor:
        with pytest.raises(Unsupported, match="Export it to a browser or a desktop with --server URL"):
            export(predictor, "1", tmp_path / "web")
        with pytest.raises(UsageError, match="the proof needs a server"):
            export(predictor, "1", tmp_path / "web", life=life_of(server="http://127.0.0.1:9"))


def test_golden_rows_of_updates_are_those_of_the_device(made: Made) -> None:
    golden = json.loads((made.folder / "golden.json").read_bytes())
    assert golden["bodies"]
    assert all("fallback" not in json.dumps(told) for told in golden["told"])


def test_a_program_for_desktops_asks_it_too(made: Made, server: Door, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, servable.load("loan", home=made.home) as predictor:
        patch.setattr("servable.edge.cases.MOST_ALONE", 20)
        report = export(
            predictor, "1", tmp_path / "desk", target="desktop", life=life_of(server=server.url),
            door=partial(door, made.home, "loan", "1"),
        )  # fmt: skip
    assert report.proven
    told = in_python(tmp_path / "desk", [OWN, OLD, BOTH]).told
    assert [bool(answer.get("id")) for answer in told] == [False, True, True]
    assert told[1]["parameters"] == {"rule.old": "fallback to simple:1 rows 0"}
