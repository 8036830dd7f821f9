"""`servable probe`: what is found is told, kept, written down as rules, and asked again by the gate."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from servable.domain.ref import Ref
from servable.domain.rule import Rule
from servable.registry.registry import Registry
from tests.checks.models import passengers


@pytest.fixture
def registered(command):
    registry = Registry(command.home)
    registry.register(passengers().folder)
    return registry


def test_a_probe_from_end_to_end(command, registered, tmp_path):
    passengers().kept.to_csv(tmp_path / "rows.csv", index=False)
    rules, page = tmp_path / "rules.toml", tmp_path / "probe.html"
    told = command(
        "probe", "passengers:1", "--data", tmp_path / "rows.csv", "--save", "--rules", rules, "--html", page, code=1
    )
    assert "FAILED\twrong unit\t" in told.out
    assert "FAILED\tweak regions\t" in told.out
    assert "cases added to the regression suite of passengers" in told.err
    offered = [msgspec.convert(rule, Rule) for rule in tomllib.loads(rules.read_text())["rules"]]
    assert {"Fare-range", "Sex-known"} <= {rule.name for rule in offered}
    assert "<svg" in page.read_text()
    (kept,) = registered.verdicts(Ref("passengers", "1"), "probe")
    assert not kept.passed
    # It decides nothing about the gate, which asks the cases from now on.
    assert registered.verdicts(Ref("passengers", "1"), "gate") == []
    gate = command("check", "passengers:1", "--json").json
    (suite,) = [verdict for verdict in gate["verdicts"] if verdict["check"] == "regression suite"]
    assert suite["passed"]
    assert suite["numbers"]["cases"] > 5


def test_a_probe_in_json(command, registered):
    told = command("probe", "passengers:1", "--json", "--no-record", code=1).json
    unseen = next(verdict for verdict in told["verdicts"] if verdict["check"] == "unseen category")
    assert unseen["evidence"]["findings"][0]["row"]["Sex"] not in {"male", "female"}
    assert {"name", "column"} <= set(told["rules"][0])
