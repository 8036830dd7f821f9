"""What the lines of a record file hold, whatever shares a call."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from servable.domain.batch import Batch
from servable.domain.record import Records
from servable.domain.rule import Fired, Rule
from servable.monitoring.json_lines import JsonLines


def written(path: Path, *calls: Records) -> list[dict[str, Any]]:
    sink = JsonLines(path)
    sink.write(calls)
    sink.close()
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def records(inputs: Batch, outputs: Batch | None, rows: list[int], error: str = "", model: str = "m") -> Records:
    starts = [sum(rows[:place]) for place in range(len(rows))]
    ids = [f'{place}"%d' for place in range(len(rows))]
    return Records(model, "3", 1.5, 0.25, ids, starts, rows, [0.5] * len(rows), inputs, outputs, error)


NUMBERS = Batch({"x%s": np.arange(8, dtype=np.float32).reshape(4, 2), "n": np.arange(4)})
ANSWER = Batch({"y": np.array([1.5, np.nan, -2.0, 4.0]), "z": np.arange(12).reshape(4, 3)})
OTHERS = {
    "text": Batch({"t": np.array(["a", None, "ü", b"\xff"], object)}),
    "images": Batch({"i": np.arange(16, dtype=np.float32).reshape(4, 2, 2)}),
    "strided": Batch({"s": np.arange(16).reshape(4, 4)[:, ::2]}),
    "flags": Batch({"b": np.array([True, False, True, True])}),
}


@pytest.mark.parametrize("rows", [[1, 1, 1, 1], [4], [2, 1, 1]])
@pytest.mark.parametrize("inputs", [NUMBERS, *OTHERS.values()], ids=["numbers", *OTHERS])
def test_each_record_is_a_line_with_its_own_rows(tmp_path: Path, rows: list[int], inputs: Batch) -> None:
    together = records(inputs, ANSWER, rows, model='m%"')
    lines = written(tmp_path / "records.jsonl", together)
    assert len(lines) == len(rows)
    for line, record in zip(lines, together, strict=True):
        assert record.inputs is not None
        assert record.outputs is not None
        assert (line["id"], line["model"], line["version"], line["error"]) == (record.id, 'm%"', "3", "")
        assert (line["time"], line["rows"], line["queue_s"], line["compute_s"]) == (1.5, record.rows, 0.5, 0.25)
        for name, array in record.outputs.columns.items():
            assert line["outputs"][name] == [None if np.isnan(value).any() else value for value in array.tolist()]
        for name, array in record.inputs.columns.items():
            expected = [
                value.decode(errors="replace") if isinstance(value, bytes) else value for value in array.tolist()
            ]
            assert line["inputs"][name] == expected


def test_a_failure_is_a_line_without_outputs(tmp_path: Path) -> None:
    (line,) = written(tmp_path / "records.jsonl", records(NUMBERS, None, [4], "deadline_exceeded"))
    assert (line["outputs"], line["error"], line["inputs"]["n"]) == (None, "deadline_exceeded", [0, 1, 2, 3])


def test_more_than_one_piece_is_written_whole_and_appended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    call = records(NUMBERS, ANSWER, [1, 1, 1, 1])
    assert len(written(path, *[call] * 500)) == 2000
    assert len(written(path, call)) == 2004
    assert (path.stat().st_mode & 0o777) == 0o600


def test_the_rules_that_fired_are_told_and_only_then(tmp_path: Path) -> None:
    plain = records(NUMBERS, ANSWER, [4])
    rule = Rule("far", when="n > 1", reason="farther than any")
    fired = msgspec.structs.replace(plain, fired=(Fired(rule, np.array([2, 3])),))
    first, second = written(tmp_path / "records.jsonl", plain, fired)
    assert "rules" not in first
    assert second.pop("rules") == {"far": "flag rows 2-3: farther than any"}
    assert second == first
