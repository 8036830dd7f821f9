"""Verdicts as JUnit XML, which other people's CI reads: one test suite a version, one test case a Verdict."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

import msgspec

from servable.domain.verdict import Verdict


def junit(ref: str, verdicts: Sequence[Verdict], seconds: float) -> bytes:
    """The file's content. Source of the form: the schema of Jenkins' xUnit plug-in, junit-10.xsd.

    >>> print(junit("m:1", [Verdict("accuracy>=0.9", False, "it is 0.8")], 0.0).decode())
    <?xml version='1.0' encoding='utf-8'?>
    <testsuite name="servable check m:1" tests="1" failures="1" errors="0" time="0.000">
      <testcase classname="m:1" name="accuracy&gt;=0.9">
        <failure message="it is 0.8">{}</failure>
      </testcase>
    </testsuite>
    """
    failures = sum(not verdict.passed for verdict in verdicts)
    root = ET.Element(
        "testsuite", name=f"servable check {ref}", tests=str(len(verdicts)), failures=str(failures), errors="0",
        time=f"{seconds:.3f}",
    )  # fmt: skip
    for verdict in verdicts:
        case = ET.SubElement(root, "testcase", classname=ref, name=verdict.check)
        if verdict.passed:
            ET.SubElement(case, "system-out").text = _plain(verdict.reason)
        else:
            failure = ET.SubElement(case, "failure", message=_plain(verdict.reason))
            failure.text = _plain(msgspec.json.format(msgspec.json.encode(verdict.evidence)).decode())
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _plain(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(letter for letter in text if letter >= " " or letter in "\n\t")
