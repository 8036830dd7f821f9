from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from servable.errors import EnvironmentFault, UsageError
from servable.wire.row_files import read_rows

FRAME = pd.DataFrame(
    {
        "age": [31, 44],
        "score": [0.5, None],
        "plan": ["basic", None],
        "since": [dt.date(2026, 1, 31), dt.date(2025, 12, 1)],
    }
)
ROWS = [
    {"age": 31, "score": 0.5, "plan": "basic", "since": "2026-01-31"},
    {"age": 44, "score": None, "plan": None, "since": "2025-12-01"},
]


def test_all_formats_give_the_same_rows(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    FRAME.to_parquet(tmp_path / "a.parquet")
    FRAME.to_feather(tmp_path / "a.arrow")
    FRAME.to_json(tmp_path / "a.json", orient="records", date_format="iso", default_handler=str)
    FRAME.to_json(tmp_path / "a.jsonl", orient="records", lines=True, default_handler=str)
    for name in ("a.csv", "a.parquet", "a.arrow"):
        assert read_rows(tmp_path / name) == ROWS, name
    for name in ("a.json", "a.jsonl"):
        assert [row["plan"] for row in read_rows(tmp_path / name)] == ["basic", None], name


def test_text_columns_of_a_csv_stay_as_written(tmp_path):
    (tmp_path / "a.csv").write_text("zip,n,flag\n00123,1_000,TRUE\n,1e3,inf\n", encoding="utf-8-sig")
    assert read_rows(tmp_path / "a.csv", {"zip"}) == [
        {"zip": "00123", "n": "1_000", "flag": True},
        {"zip": None, "n": 1000.0, "flag": "inf"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("a.xlsx", "", UsageError, r"expected one of \.csv, \.json, \.jsonl, \.parquet, \.arrow, \.feather"),
        ("a.csv", "a,b\n1\n", UsageError, "line 2 has not as many values as there are headings"),
        ("a.json", '{"a": 1}', UsageError, r"expected objects, one a row"),
        ("a.json", "{", UsageError, "does not hold rows"),
        ("a.jsonl", "1\n", UsageError, r"expected objects, one a row"),
        ("a.parquet", "no parquet at all", UsageError, "does not hold rows"),
        ("a.arrow", "no arrow at all", UsageError, "does not hold rows"),
    ],
)
def test_what_holds_no_rows_is_told(tmp_path, name, content, error, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=said):
        read_rows(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(EnvironmentFault, match="No such file"):
        read_rows(tmp_path / "a.csv")
