from __future__ import annotations

import msgspec
import pytest

from servable.domain.route import Route
from servable.errors import NotFound, UsageError
from servable.registry.registry import Registry
from servable.server.targets import declared, resolve
from servable.settings import Settings
from tests.packed import bundle_at, digest_of, scaler


@pytest.fixture
def settings(tmp_path) -> Settings:
    """Of a home with `scaler` 1 to 3, of which 2 is the champion and 1 has a name, and `other` 1."""
    registry = Registry(tmp_path / "home")
    for factor in (1, 2, 3):
        registry.register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    registry.register(bundle_at(tmp_path / "o", name="other"))
    registry.alias("scaler", "champion", "2")
    registry.alias("scaler", "first", "1")
    return Settings(home=str(tmp_path / "home"))


def targets(plan) -> list[tuple[str, str]]:
    return [(target.name, target.version) for target in plan.targets]


def test_without_targets_all_that_is_registered_is_served(settings):
    plan = resolve(settings, [])
    assert targets(plan) == [("other", "1"), ("scaler", "1"), ("scaler", "2")]
    assert plan.routes == {"other": Route("1"), "scaler": Route("2")}
    assert plan.aliases == {"other": {}, "scaler": {"champion": "2", "first": "1"}}


def test_a_registered_version_is_served_from_the_home_and_known_by_its_digest(settings, tmp_path):
    (target,) = resolve(settings, ["scaler:3"]).targets
    assert target.digest == digest_of(tmp_path / "b3")
    assert target.source == str(tmp_path / "home" / "bundles" / target.digest)


def test_an_alias_is_followed(settings):
    plan = resolve(settings, ["scaler@first", "other"])
    assert targets(plan) == [("scaler", "1"), ("other", "1")]
    assert plan.aliases["scaler"] == {"first": "1"}


def test_a_bare_file_serves_under_its_stem(settings, tmp_path):
    path = scaler(tmp_path / "my model (1).onnx")
    (target,) = resolve(settings, [str(path)]).targets
    assert (target.name, target.version, target.source, target.digest) == ("my-model--1-", "1", str(path), None)


def test_a_bundle_serves_under_its_own_name_wherever_it_lies(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (target,) = resolve(settings, ["o"]).targets
    assert (target.name, target.source) == ("other", str(tmp_path / "o"))


@pytest.mark.parametrize(
    ("targets", "error", "said"),
    [
        (["./nothing.onnx"], UsageError, "there is no file or folder"),
        (["nobody"], NotFound, r"no model 'nobody' is registered \(there are: other, scaler\)"),
        (["scaler:1", "scaler:2"], UsageError, "two targets are named 'scaler'"),
        (["scaler@best"], NotFound, r"no alias 'best' \(there are: champion, first\)"),
    ],
)
def test_targets_that_mean_nothing(settings, targets, error, said):
    with pytest.raises(error, match=said):
        resolve(settings, targets)


def test_a_model_is_placed_where_its_device_is_set(settings, tmp_path, caplog):
    placed = msgspec.structs.replace(settings, devices=("scaler=cuda:1", "cuda:0"))
    assert {(target.name, target.device) for target in resolve(placed, []).targets} == {
        ("scaler", "cuda:1"), ("other", "cuda:0"),
    }  # fmt: skip
    assert {target.device for target in resolve(settings, []).targets} == {"cpu"}
    assert not caplog.text
    resolve(msgspec.structs.replace(settings, devices=("scalar=cuda:1",)), [])
    assert "devices: no model is named scalar here (there are: other, scaler)" in caplog.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scaler=",), "expected NAME=DEVICE"), (("=cuda",), "expected NAME=DEVICE"),
        (("cuda:x",), "expected NAME=DEVICE"), (("a b=cpu",), "expected NAME=DEVICE"),
        (("m=cpu", "m=cuda"), "two devices for m"), (("cuda:0", "cuda:1"), "two devices for all that are not named"),
    ],
)  # fmt: skip
def test_devices_that_mean_nothing(settings, words, said):
    with pytest.raises(UsageError, match=said):
        resolve(msgspec.structs.replace(settings, devices=words), [])


def test_an_empty_home_serves_nothing_yet(tmp_path):
    plan = resolve(Settings(home=str(tmp_path)), [])
    assert targets(plan) == []


def test_the_registry_has_a_say_in_what_came_from_it_only(settings, tmp_path):
    assert declared(settings, []) is not None
    assert declared(settings, [str(tmp_path / "b1"), "scaler"]) is not None
    assert declared(settings, [str(tmp_path / "b1")]) is None
