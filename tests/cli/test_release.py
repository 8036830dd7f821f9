from __future__ import annotations

import pytest

from servable.domain.ref import Ref
from servable.registry.registry import Registry
from tests.packed import bandit_at, bundle_at


@pytest.fixture
def registered(command, tmp_path):
    """The command, on a home with three versions of `scaler`, the first of them champion."""
    registry = Registry(command.home, who="ada")
    for factor in (1, 2, 3):
        registry.register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    registry.promote(Ref("scaler", "1"))
    return command


def test_a_release_from_canary_to_champion_and_back(registered):
    told = registered("release", "canary", "scaler:2", "--share", "10%", "--minutes", "5", "--json").json
    assert (told["live"], told["canary"], told["share"]) == ("1", "2", 0.1)
    assert told["terms"]["least_s"] == 300
    assert registered("release", "promote", "scaler", "--json").json["live"] == "2"
    assert registered("release", "rollback", "scaler", "--reason", "odd", "--json").json["live"] == "1"
    assert [row["what"] for row in registered("models", "history", "scaler", "--json").json][-1] == "noted"


def test_shadows_and_fallbacks(registered):
    assert registered("release", "shadow", "scaler:3", "--json").json["shadows"] == ["3"]
    assert registered("release", "shadow", "scaler:3", "--remove", "--json").json["shadows"] == []
    told = registered("release", "fallback", "scaler", "--to", "scaler:2", "--value", '{"y": 0}', "--json").json
    assert (told["fallback"], told["fallback_value"]) == ("scaler:2", {"y": 0})


def test_a_bandit_chooses_among_versions(registered, tmp_path):
    Registry(registered.home).register(bandit_at(tmp_path / "choice", ["1", "3"], {"x": "FP32 [-1, 2]"}))
    told = registered("release", "bandit", "scaler", "--by", "choice", "--json").json
    assert (told["live"], told["bandit"], told["arms"]) == ("1", "choice", ["1", "3"])
    lines = registered("release").out.splitlines()
    assert "choice: 1, 3" in next(line for line in lines if line.startswith("scaler"))
    assert registered("release", "rollback", "scaler", "--json").json["bandit"] is None


def test_the_margin_of_successes_is_a_term(registered):
    words = ("release", "canary", "scaler:2", "--success", "correct", "--success-margin", "3%", "--json")
    assert registered(*words).json["terms"]["success_margin"] == 0.03


def test_people_read_tables(registered):
    registered("release", "canary", "scaler:2", "--share", "0.25", "--no-promote")
    text = registered("release", "status", "scaler").out
    assert "canary\t2\nshare\t25.00%" in text
    assert "promoted\tby hand" in text
    head, line = registered("release").out.splitlines()
    assert head.split("\t") == ["name", "live", "canary", "bandit", "shadows", "fallback", "since", "reason"]
    assert line.split("\t")[:3] == ["scaler", "1", "2 (25.00%)"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("canary", "scaler:2", "--share", "much"), 2, "expected a share such as 5% or 0.05"),
        (("canary", "scaler:2", "--share", "100%"), 2, "less than all of the requests"),
        (("canary", "scaler:1"), 2, "is the live version"),
        (("canary", "scaler:9"), 1, "no version '9'"),
        (("canary", "scaler:2", "--errors", "200%"), 2, "error_margin: expected a share between 0 and 1"),
        (("canary", "scaler:2", "--success-margin", "0"), 2, "success_margin: expected a share between 0 and 1"),
        (("bandit", "scaler", "--by", "scaler"), 2, "got a model that chooses nothing"),
        (("fallback", "scaler", "--value", "[1]"), 2, "expected an object with a value for each output"),
        (("fallback", "scaler", "--value", "{"), 2, "not valid JSON"),
        (("promote", "scaler"), 2, "has no canary"),
        (("rollback", "scaler"), 1, "nothing to undo"),
        (("status", "nobody"), 1, "no model 'nobody'"),
    ],
)
def test_what_cannot_be_is_told(registered, words, code, said):
    assert said in registered("release", *words, code=code).err
