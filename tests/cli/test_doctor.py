from __future__ import annotations

import importlib.metadata
import socket

import pytest

from servable.cli.examine import libraries


def levels(told) -> dict[tuple[str, str], str]:
    return {(finding["area"], finding["what"]): finding["level"] for finding in told.json["findings"]}


def test_a_whole_installation_is_well(command):
    told = command("doctor", "--json")
    assert told.json["healthy"] is True
    found = levels(told)
    assert found["library", "onnxruntime"] == "ok"
    assert found["format", "onnx"] == "ok"
    assert "All that is required is well." in command("doctor").err


def test_a_variable_that_is_no_setting_and_looks_like_one_is_told(command, monkeypatch):
    monkeypatch.setenv("SERVABLE_HTTP_PROT", "80")
    monkeypatch.setenv("SERVABLE_SERVICE_HOST", "10.0.0.1")  # as Kubernetes sets it
    told = [found["said"] for found in command("doctor", "--json").json["findings"] if found["what"] == "environment"]
    assert told == ["SERVABLE_HTTP_PROT is no setting, and changes nothing: did you mean SERVABLE_HTTP_PORT?"]


def test_every_extra_is_told(command):
    extras = set(importlib.metadata.metadata("servable").get_all("Provides-Extra") or ()) - {"all"}
    assert extras == {what for area, what in levels(command("doctor", "--json")) if area == "extra"}


def test_what_is_missing_is_told_with_the_line_that_brings_it(command, monkeypatch):
    """As if two libraries were not installed, and one too old: an extra is a note, what is required is broken."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in {"lightgbm", "uvicorn"}:
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1.0" if name == "skops" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = {(f["area"], f["what"]): f for f in command("doctor", "--json", code=3).json["findings"]}
    assert found["extra", "lightgbm"]["level"] == "note"
    assert found["extra", "lightgbm"]["fix"] == "pip install 'servable[lightgbm]'"
    assert "skops is 0.1.0, needed is >=" in found["extra", "sklearn"]["said"]
    assert found["library", "uvicorn"]["level"] == "broken"
    assert "1 broken" in command("doctor", code=3).err


def test_a_busy_port_is_noted(command, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        monkeypatch.setenv("SERVABLE_HTTP_PORT", str(port))
        told = command("doctor", "--json")
    finding = next(f for f in told.json["findings"] if f["area"] == "port" and f["what"] == "http")
    assert finding["level"] == "note"
    assert f"port {port}: it is in use" in finding["said"]


def test_a_home_that_others_may_write_is_broken(command):
    command.home.mkdir()
    command.home.chmod(0o777)
    told = command("doctor", "--json", code=3)
    assert levels(told)["home", str(command.home)] == "broken"
    assert f"chmod 700 {command.home}" in command("doctor", code=3).out


def test_a_home_that_is_a_file_is_broken(command):
    command.home.write_text("")
    assert levels(command("doctor", "--json", code=3))["home", str(command.home)] == "broken"


@pytest.mark.parametrize(("file", "what"), [("registry.db", "registry"), ("keys.json", "keys")])
def test_damaged_state_is_broken(command, file, what):
    command.home.mkdir(mode=0o700)
    (command.home / file).write_text("no such thing" * 100)
    (command.home / file).chmod(0o600)
    assert levels(command("doctor", "--json", code=3))["home", what] == "broken"


def test_required_libraries_come_first():
    areas = [finding.area for finding in libraries()]
    assert areas == sorted(areas, key=["library", "extra"].index)
