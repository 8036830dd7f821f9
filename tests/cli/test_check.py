"""`servable check`: what people, programs, CI and the registry get to see."""

from __future__ import annotations

import json
import os
import re
from xml.etree import ElementTree as ET

import pytest

from servable.domain.ref import Ref
from servable.registry.registry import Registry
from tests.checks.models import cancer
from tests.custom import custom


@pytest.fixture
def data(tmp_path):
    cancer().kept.to_csv(tmp_path / "kept.csv", index=False)
    return tmp_path / "kept.csv"


@pytest.fixture
def registered(command):
    registry = Registry(command.home)
    for folder in (cancer().folder, cancer(3, 1).folder):
        registry.register(folder)
    return registry


def test_a_version_is_checked_and_the_registry_keeps_what_was_said(command, registered, data):
    found = command("check", "cancer:1", "--data", data, "--check", "accuracy>=0.93 by hospital", "--json").json
    assert found["passed"]
    assert [each["check"] for each in found["verdicts"]] == ["golden rows", "accuracy>=0.93 by hospital", "calibration"]
    (kept,) = registered.verdicts(Ref("cancer", "1"))
    assert [verdict.check for verdict in kept.verdicts] == [each["check"] for each in found["verdicts"]]
    command("check", "cancer:1", "--no-record")
    assert len(registered.verdicts(Ref("cancer", "1"))) == 1


def test_a_worse_version_ends_with_1_and_the_files_say_why(command, registered, data, tmp_path):
    page, xml = tmp_path / "report.html", tmp_path / "report.xml"
    files = ("--html", page, "--junit", xml)
    told = command("check", "cancer:2", "--data", data, "--against", "cancer:1", "--by", "hospital", *files, code=1)
    assert "FAILED\taccuracy not worse\taccuracy is 0.0" in told.out
    suite = ET.parse(xml).getroot()  # noqa: S314 - written a moment ago
    assert suite.get("failures") == "1"
    assert [case.get("name") for case in suite] == ["golden rows", "accuracy not worse", "metrics", "calibration"]
    text = page.read_text()
    drawn = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]  # noqa: S314 - as above
    assert [len(svg.findall("g")) for svg in drawn] == [4, 4]
    assert "src=" not in text
    assert "http" not in text
    assert not registered.verdicts(Ref("cancer", "2"))[-1].passed


def test_the_regression_suite_of_a_name_is_asked_of_every_version(command, registered, tmp_path):
    row = cancer().kept.drop(columns=["diagnosis", "hospital"]).iloc[0].astype(float).to_dict()
    truth = cancer().kept["diagnosis"].iloc[0]
    cases = tmp_path / "cases.jsonl"
    cases.write_text(json.dumps({"row": row, "label": truth}) + "\n" + json.dumps({"row": row, "label": "neither"}))
    told = command("check", "cancer:1", "--add-case", cases, code=1)
    assert "2 cases added" in told.err
    assert "regression suite\t1 of 2 cases that must pass do" in told.out
    listed = command("check", "cancer:2", "--cases", "--json").json
    assert [case["expected"] for case in listed] == [f"answers {truth!r}", "answers 'neither'"]
    command("check", "cancer:2", "--remove-case", listed[1]["id"], "--cases")
    assert len(command("check", "cancer:2", "--cases", "--json").json) == 1
    refused = command("models", "alias", "cancer@champion", "2", code=1).err
    assert "the gate has not been run on cancer:2 (it demands a regression suite of 1 cases)" in refused


def test_a_version_that_does_not_reproduce_its_golden_rows_fails(command, registered):
    folder = registered.folder(registered.catalog().find(Ref("cancer", "1")))
    (folder / "model.onnx").write_bytes(b"other bytes")
    told = command("check", "cancer:1", code=1)
    assert "FAILED\tgolden rows" in told.out


def test_demands_of_a_file(command, data, tmp_path):
    demands = tmp_path / "demands.txt"
    demands.write_text("# what we promise\naccuracy>=0.9   # of all\n\nauc>=0.9\n")
    asked = ("check", cancer().folder, "--data", data, "--label", "diagnosis", "--checks", demands, "--json")
    found = command(*asked).json
    assert [each["check"] for each in found["verdicts"]][1:3] == ["accuracy>=0.9", "auc>=0.9"]


def test_foreign_code_is_asked_in_a_process_of_its_own(command, tmp_path):
    folder = custom(
        tmp_path / "own",
        'import os, servable\n\nclass Own(servable.PythonModel):\n    inputs = {"x": "FP64 [-1]"}\n'
        '    outputs = {"y": "FP64 [-1]"}\n\n    def predict(self, batch):\n'
        f'        assert os.getpid() != {os.getpid()}\n        return {{"y": batch["x"] * 2}}\n',
    )
    (tmp_path / "rows.csv").write_text("x,twice\n" + "".join(f"{n}.5,{2 * n + 1}.0\n" for n in range(60)))
    asked = ("check", folder, "--data", tmp_path / "rows.csv", "--label", "twice", "--check", "rmse<=0.001", "--json")
    assert command(*asked).json["passed"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--check", "acuracy>=1"), "did you mean 'accuracy'"),
        (("--check", "accuracy>=0.5 by hospitl"), "did you mean 'hospital'"),
        (("--label", "diagnosys"), "did you mean 'diagnosis'"),
        (("--against", "cancer:9"), "cancer"),
    ],
)
def test_what_is_wrong_is_said_once(command, registered, data, words, told):
    ended = command("check", "cancer:1", "--data", data, *words, code=1 if "against" in words[0] else 2)
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1
