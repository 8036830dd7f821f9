"""The audit log: that it tells, that tampering shows, that a flood is bounded, and that its failure stops nothing."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from servable.server.access.audit import BURST, Audit, verify


def entries(home: Path) -> list[dict]:
    return [json.loads(line) for line in (home / "log" / "audit.jsonl").read_text().splitlines()]


def test_what_was_done_and_denied_is_told(tmp_path: Path) -> None:
    audit = Audit(tmp_path, lambda: 1000.0)
    audit.act("ada", "load churn", "10.0.0.1", "done")
    audit.denied("nobody", "GET /v2", "10.0.0.2", "no key")
    told = entries(tmp_path)
    assert [(e["kind"], e["who"], e["act"], e["from"], e["result"], e["time"]) for e in told] == [
        ("act", "ada", "load churn", "10.0.0.1", "done", 1000.0),
        ("denied", "nobody", "GET /v2", "10.0.0.2", "no key", 1000.0),
    ]
    verdict = verify(tmp_path / "log" / "audit.jsonl")
    assert verdict.passed
    assert verdict.numbers == {"entries": 2}


def test_it_is_private_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    Audit(tmp_path).act("ada", "one", "", "done")
    Audit(tmp_path).act("ada", "two", "", "done")
    path = tmp_path / "log" / "audit.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert verify(path).numbers == {"entries": 2}


def test_each_kind_of_tampering_shows(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    for number in range(5):
        audit.act("ada", f"act {number}", "", "done")
    path = tmp_path / "log" / "audit.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    head = verify(path).evidence["head"]
    changed = [*lines[:2], lines[2].replace(b"act 2", b"act 9"), *lines[3:]]
    for tampered, where in (
        (changed, 4),
        (lines[1:], 1),
        ([*lines[:2], *lines[3:]], 3),
        ([*lines[:2], lines[3], lines[2], lines[4]], 3),
        ([*lines[:2], lines[1], *lines[2:]], 3),
        ([*lines[:4], b"garbage\n"], 5),
        ([*lines[:4], b'["no", "object"]\n'], 5),
    ):
        path.write_bytes(b"".join(tampered))
        verdict = verify(path)
        assert not verdict.passed
        assert verdict.numbers["line"] == where
    path.write_bytes(b"".join(lines[:4]))
    assert verify(path).passed
    assert not verify(path, head).passed
    assert "cut off" in verify(path, head).reason
    path.write_bytes(b"".join(lines))
    assert verify(path, head).passed


def test_no_log_yet_is_a_good_log(tmp_path: Path) -> None:
    assert verify(tmp_path / "none").passed
    assert not verify(tmp_path / "none", "a" * 64).passed


def test_a_flood_of_denied_calls_is_counted_and_bounded(tmp_path: Path) -> None:
    now = [0.0]
    audit = Audit(tmp_path, lambda: now[0])
    for _ in range(5000):
        audit.denied("nobody", "GET /" + "x" * 10_000, "10.0.0.1", "no key")
    audit.act("ada", "load churn", "", "done")
    told = entries(tmp_path)
    assert len(told) == BURST + 1
    assert all(len(entry["act"]) <= 256 for entry in told)
    now[0] = 2.0
    audit.denied("nobody", "GET /", "10.0.0.1", "no key")
    assert entries(tmp_path)[-1]["suppressed"] == 5000 - BURST
    assert verify(tmp_path / "log" / "audit.jsonl").passed


def test_text_from_strangers_cannot_forge_a_line(tmp_path: Path) -> None:
    Audit(tmp_path).denied("nobody", 'GET /\n{"kind":"act"}\r\n\x00"', "10.0.0.1", "no key")
    assert len(entries(tmp_path)) == 1
    assert verify(tmp_path / "log" / "audit.jsonl").passed


def test_half_a_line_is_gone_past_and_shown(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.act("ada", "one", "", "done")
    path = tmp_path / "log" / "audit.jsonl"
    with path.open("ab") as file:
        file.write(b'{"time":1,"ki')
    Audit(tmp_path).act("ada", "two", "", "done")
    verdict = verify(path)
    assert verdict.numbers == {"line": 2}
    assert json.loads(path.read_text().splitlines()[2])["act"] == "two"


def test_writers_do_not_break_the_chain(tmp_path: Path) -> None:
    audits = [Audit(tmp_path) for _ in range(4)]

    def write(audit: Audit) -> None:
        for number in range(25):
            audit.act("ada", f"act {number}", "", "done")

    threads = [threading.Thread(target=write, args=(audit,)) for audit in audits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(tmp_path / "log" / "audit.jsonl").numbers == {"entries": 100}


def test_a_disk_that_refuses_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    audit = Audit(tmp_path)
    audit.act("ada", "load churn", "", "done")
    audit.denied("nobody", "GET /", "", "no key")
    assert audit.lost == 2


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "log" / "audit.jsonl").symlink_to(tmp_path / "precious")
    audit = Audit(tmp_path)
    audit.act("ada", "load churn", "", "done")
    assert audit.lost == 1
    assert (tmp_path / "precious").read_text() == "precious"
