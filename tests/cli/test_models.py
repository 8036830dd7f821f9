from __future__ import annotations

import subprocess

import pytest

from servable.domain.ref import Ref
from servable.domain.verdict import Verdict
from servable.registry.registry import Registry
from tests.packed import bundle_at, digest_of


@pytest.fixture
def registered(command, tmp_path):
    """The command, on a home with two versions of `scaler`."""
    for factor in (1, 2):
        Registry(command.home, who="ada").register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    return command


def test_an_empty_registry_says_what_to_do(command):
    told = command("models")
    assert told.out == ""
    assert "servable pack FILE --name NAME" in told.err
    assert command("models", "--json").json == []


def test_the_list(registered):
    registered("models", "alias", "scaler@champion", "1")
    (row,) = registered("models", "--json").json
    assert row["name"] == "scaler"
    assert row["versions"] == ["1", "2"]
    assert row["aliases"] == {"champion": "1"}
    assert row["by"] == "ada"
    head, line = registered("models").out.splitlines()
    assert head.split("\t") == ["name", "versions", "aliases", "format", "registered", "by"]
    assert line.split("\t")[:4] == ["scaler", "1, 2", "champion → 1", "onnx"]


def test_show(registered, tmp_path):
    told = registered("models", "show", "scaler:1", "--json").json
    assert told["digest"] == digest_of(tmp_path / "b1")
    assert told["signature"]["inputs"][0]["name"] == "x"
    text = registered("models", "show", "scaler").out
    assert f"digest\t{digest_of(tmp_path / 'b2')}" in text
    assert "input\tx\tFP32\t[-1, 2]" in text


def test_aliases_move_and_go(registered):
    assert registered("models", "alias", "scaler@champion", "1").out == "scaler@champion is scaler:1\n"
    assert registered("models", "show", "scaler@champion", "--json").json["version"] == "1"
    assert registered("models", "alias", "scaler@champion", "--remove").out == "scaler@champion is gone\n"
    assert "no alias 'champion'" in registered("models", "show", "scaler@champion", code=1).err


@pytest.mark.parametrize("words", [("scaler", "1"), ("scaler@champion",), ("scaler@champion", "1", "--remove")])
def test_an_alias_is_asked_for_in_full(registered, words):
    registered("models", "alias", *words, code=2)


def test_delete(registered):
    assert registered("models", "delete", "scaler:2").out == "scaler:2 is deleted\n"
    assert registered("models", "--json").json[0]["versions"] == ["1"]
    registered("models", "alias", "scaler@champion", "1")
    assert "point the alias elsewhere" in registered("models", "delete", "scaler:1", code=1).err
    assert registered("models", "delete", "scaler", "--purge", "--json").json[0]["version"] == "1"
    assert registered("models", "--json").json == []


def test_history(registered):
    registered("models", "alias", "scaler@champion", "1")
    registered("models", "delete", "scaler:2")
    told = registered("models", "history", "scaler", "--json").json
    assert [(event["what"], event["version"]) for event in told] == [
        ("registered", "1"), ("registered", "2"), ("aliased", "1"), ("deleted", "2"),
    ]  # fmt: skip
    assert registered("models", "history", "scaler").out.splitlines()[1].split("\t")[1] == "ada"


def test_verify_loads_the_model(registered):
    told = registered("models", "verify", "scaler:1", "--json").json
    assert told["passed"] is True
    assert "loads" in told["reason"]


def test_verify_finds_what_was_changed(registered, tmp_path):
    (registered.home / "bundles" / digest_of(tmp_path / "b1") / "model.onnx").write_bytes(b"\0")
    told = registered("models", "verify", "scaler:1", "--json", code=1).json
    assert told["passed"] is False
    assert "the manifest says" in told["reason"]
    assert registered("models", "verify", "scaler:2").out.startswith("passed  verify")


def test_the_list_of_many_versions_is_short(registered, tmp_path):
    for factor in range(3, 8):
        Registry(registered.home).register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    assert registered("models").out.splitlines()[1].split("\t")[1] == "7: … 3, 4, 5, 6, 7"


def test_tags(registered):
    assert registered("models", "tag", "scaler:1", "stage=trial", "a=b").out == "scaler:1  stage=trial a=b\n"
    assert registered("models", "tag", "scaler:1", "stage=", "--json").json["tags"] == {"a": "b"}
    assert "expected KEY=VALUE" in registered("models", "tag", "scaler:1", "stage", code=2).err
    assert registered("models", "show", "scaler:1", "--json").json["tags"] == {"a": "b"}


def test_what_the_gate_said_is_told_and_holds(registered):
    said = Verdict("accuracy", passed=False, reason="0.6 is less than 0.9")
    assert "servable check scaler:2" in registered("models", "verdicts", "scaler:2").err
    Registry(registered.home).record_verdicts(Ref.parse("scaler:2"), [said])
    assert "accuracy\tFAILED\t0.6 is less than 0.9" in registered("models", "verdicts", "scaler:2").out
    assert registered("models", "verdicts", "scaler:2", "--json").json[0]["source"] == "gate"
    refused = registered("models", "alias", "scaler@champion", "2", code=1).err
    assert "scaler:2 did not pass the gate" in refused
    assert "--override REASON" in refused
    registered("models", "alias", "scaler@champion", "2", "--override", "ticket 41")
    assert "override: ticket 41" in registered("models", "history", "scaler").out
    assert registered("models", "show", "scaler:2", "--json").json["gate"]["passed"] is False


def test_a_version_is_signed(registered, tmp_path):
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    public = registered("models", "sign", "scaler:1", "--key", key, "--json").json["key"]
    assert registered("models", "show", "scaler:1", "--json").json["signed_by"] == [public]
    registered("models", "verify", "scaler:1")
    registered("models", "sign", "scaler:1", "--key", tmp_path / "none.pem", code=3)


def test_a_version_is_exported(registered, tmp_path):
    assert registered("models", "export", "scaler:1", tmp_path / "m").out == f"scaler:1 → {tmp_path / 'm'}\n"
    assert registered("models", "register", tmp_path / "m").out == "scaler:1\n"
    registered("models", "export", "scaler:1", tmp_path / "m", code=1)
    registered("models", "export", "scaler:1", tmp_path / "b.tar", "--to", "tar")
    assert (tmp_path / "b.tar").stat().st_size > 1000
