from __future__ import annotations

import csv
from ipaddress import ip_address

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from servable.errors import EnvironmentFault, InvalidInput, UsageError
from servable.offline import piece, policy, source
from servable.offline.keying import keys_of, kind_of
from servable.offline.piece import of_rows, read
from servable.offline.source import find


def rows(found, columns=None):
    blocks = [block for part in found.parts for piece in part.pieces for block, *_ in read(piece, columns)]
    return pa.Table.from_batches(blocks).to_pylist()


def broken(found):
    return [line for part in found.parts for piece in part.pieces for _, bad, _ in read(piece, None) for line in bad]


def table(count, start=0):
    return pa.table({"id": np.arange(start, start + count), "x": np.arange(count) / 2})


def test_every_form_of_file_gives_its_rows(tmp_path):
    data = table(5)
    parquet.write_table(data, tmp_path / "a.parquet", row_group_size=2)
    feather.write_feather(data, tmp_path / "a.arrow", compression="uncompressed")
    (tmp_path / "a.csv").write_text("id,x\n" + "".join(f"{row['id']},{row['x']}\n" for row in data.to_pylist()))
    (tmp_path / "a.jsonl").write_text("".join(f'{{"id":{row["id"]},"x":{row["x"]}}}\n' for row in data.to_pylist()))
    for form in ("parquet", "arrow", "jsonl"):
        found = find(str(tmp_path / f"a.{form}"))
        assert rows(found) == data.to_pylist()
        assert kind_of(found.columns["id"], "id") == "integer"
    found = find(str(tmp_path / "a.csv"))
    assert rows(found)[4] == {"id": b"4", "x": b"2.0"}
    assert (kind_of(found.columns["id"], "id"), found.rows) == ("text", None)


def test_a_large_file_is_read_in_parts_of_whole_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(policy, "PART_ROWS", 4)
    parquet.write_table(table(22), tmp_path / "a.parquet", row_group_size=2)
    found = find(str(tmp_path / "a.parquet"))
    assert [[(piece.start, piece.stop, piece.first_row) for piece in part.pieces] for part in found.parts] == [
        [(0, 2, 0)], [(2, 4, 4)], *([(at, at + 1, 2 * at)] for at in range(4, 11)),
    ]  # fmt: skip
    assert (found.rows, [row["id"] for row in rows(found)]) == (22, list(range(22)))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lines_are_cut_between_lines(tmp_path, monkeypatch, size):
    monkeypatch.setattr(source, "PART_BYTES", size)
    (tmp_path / "a.csv").write_text('id,x\n1,"a,b"\n2,c\r\n33,d')
    (tmp_path / "a.jsonl").write_text('{"id":1}\n\n{"id":22}\n{"id":3}')
    assert [row["id"] for row in rows(find(str(tmp_path / "a.csv")))] == [b"1", b"2", b"33"]
    assert [row["id"] for row in rows(find(str(tmp_path / "a.jsonl")))] == [1, 22, 3]


@pytest.mark.parametrize("size", [1, 3, 9, 14, 1000])
def test_a_line_break_between_quotes_ends_no_row(tmp_path, monkeypatch, size):
    monkeypatch.setattr(source, "PART_BYTES", size)
    monkeypatch.setattr(piece, "TEXT_BLOCK_BYTES", 16)  # a block ends within quotes, too
    told = ["one", "two\nlines", 'a "quoted"\nword\n', "end"]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "note"], *enumerate(told)])
    found = rows(find(str(tmp_path / "a.csv")))
    assert [(row["id"].decode(), row["note"].decode()) for row in found] == [
        (str(at), one) for at, one in enumerate(told)
    ]


def test_what_only_a_database_knows_is_read_as_it_is_printed():
    block = of_rows([{"ip": ip_address("10.0.0.1"), "n": 2**70}, {"ip": "x", "n": {"a": [1]}}], None)
    assert block.to_pylist() == [{"ip": "10.0.0.1", "n": str(2**70)}, {"ip": "x", "n": '{"a":[1]}'}]


def test_folders_globs_and_many_files(tmp_path):
    for number in range(3):
        (tmp_path / "in" / str(number)).mkdir(parents=True)
        parquet.write_table(table(2, 10 * number), tmp_path / "in" / str(number) / "a.parquet")
    (tmp_path / "in" / "_SUCCESS").touch()
    (tmp_path / "in" / "notes.txt").touch()
    wanted = [0, 1, 10, 11, 20, 21]
    assert [row["id"] for row in rows(find(str(tmp_path / "in")))] == wanted
    assert [row["id"] for row in rows(find(str(tmp_path / "in" / "*" / "*.parquet")))] == wanted
    assert [row["id"] for row in rows(find(str(tmp_path / "in" / "[02]" / "a.parquet")))] == [0, 1, 20, 21]
    assert [row["id"] for row in rows(find(f"file://{tmp_path}/in/1"))] == [10, 11]


def test_a_file_that_changes_changes_the_fingerprint(tmp_path):
    parquet.write_table(table(2), tmp_path / "a.parquet")
    before = find(str(tmp_path / "a.parquet"))
    assert find(str(tmp_path / "a.parquet")) == before
    parquet.write_table(table(3), tmp_path / "a.parquet")
    assert find(str(tmp_path / "a.parquet")).fingerprint != before.fingerprint


def test_lines_that_are_no_rows_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("id,x\n1,2\n3\n4,5,6\n7,8\n")
    found = find(str(tmp_path / "a.csv"))
    assert [(line.row, line.reason) for line in broken(found)] == [
        (1, "expected 2 values, got 1"),
        (2, "expected 2 values, got 3"),
    ]
    (tmp_path / "a.jsonl").write_text('{"id":1}\n[1]\n{"id":\n')
    assert [line.row for line in broken(find(str(tmp_path / "a.jsonl")))] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("none.parquet", None, EnvironmentFault, "nothing to read"),
        ("a.xlsx", b"x", UsageError, "expected files that end with .parquet"),
        ("a.parquet", b"PAR1 and then it was cut", InvalidInput, "no whole parquet file"),
        ("a.arrow", b"ARROW1", InvalidInput, "no whole arrow file"),
        ("a.csv", b"a,a\n1,2\n", InvalidInput, "name each column once"),
        ("a.csv", b"\xff\xfe\n", InvalidInput, "columns in UTF-8"),
        ("a.csv", b"id;x\n1;2\n", UsageError, r"expected commas between columns, got .id;x.: .*read_csv"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, name, content, error, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=said):
        find(str(tmp_path / name))


def test_a_truncated_file_is_told(tmp_path):
    parquet.write_table(table(10_000), tmp_path / "a.parquet")
    found = find(str(tmp_path / "a.parquet"))
    data = (tmp_path / "a.parquet").read_bytes()
    for size in (len(data) // 2, len(data) - 1):
        (tmp_path / "cut.parquet").write_bytes(data[:size])
        with pytest.raises(InvalidInput, match=r"cut\.parquet"):
            find(str(tmp_path / "cut.parquet"))
    assert len(rows(found)) == 10_000


def test_a_query_of_a_database_is_not_read_in_place(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        find("ftp://x/y.csv")


def test_keys_of_every_kind():
    block = pa.RecordBatch.from_arrays(
        [
            pa.array([7, None]),
            pa.array(["a", "x" * 512]),
            pa.array([b"\xff", b""]),
            pa.array([2**64 - 1, 1], pa.uint64()),
        ],
        ["i", "t", "b", "u"],
    )
    assert keys_of(block, "i", "integer").keys.to_pylist() == [7, 0]
    assert keys_of(block, "i", "integer").wrong == {1: "'i': there is no key"}
    assert keys_of(block, "t", "text").wrong == {1: "'t': expected a key of 1 to 511 bytes, got 512"}
    assert set(keys_of(block, "b", "text").wrong) == {0, 1}
    assert set(keys_of(block, "u", "integer").wrong) == {0}
    assert keys_of(block, "t", "integer").wrong[0] == "'t': expected a whole number, got 'a'"
    with pytest.raises(UsageError, match="cannot be the key"):
        kind_of(pa.float64(), "f")
