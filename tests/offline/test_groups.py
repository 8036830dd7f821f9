"""Parquet files that are put together from groups: read by others, they hold what a plain one would."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.errors import InvalidInput
from servable.offline import piece
from servable.offline.piece import Piece, read
from servable.offline.results import Frames

OUTPUTS = (Field("score", "FP32"), Field("label", "BYTES"))


@pytest.fixture(autouse=True)
def _small_groups_pass(monkeypatch):
    monkeypatch.setattr(piece, "LEAST_ROWS", 1)


def table(rows):
    """A column of every kind, with nulls where there can be any."""
    draw = np.random.default_rng(3)
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "x": pa.array(draw.normal(size=rows), pa.float32(), mask=draw.random(rows) < 0.1),
            "text": pa.array([None if at % 7 == 0 else f"t{at % 5}" for at in range(rows)]),
            "kind": pa.array([f"k{at % 3}" for at in range(rows)]).dictionary_encode(),
            "sum": pa.array([Decimal(at) / 4 for at in range(rows)], pa.decimal128(12, 2)),
            "at": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=at) for at in range(rows)]),
            "tags": pa.array([[at, None] if at % 2 else [] for at in range(rows)], pa.list_(pa.int32())),
            "yes": pa.array([at % 3 == 0 for at in range(rows)]),
        }
    )


def framed(folder, path, *, kept=None):
    """The output of one part over the whole file; `kept`: the rows of each block that have an answer."""
    groups = parquet.ParquetFile(path).metadata.num_row_groups
    with Frames(folder, "000000", OUTPUTS) as frames:
        for rows, _, group in read(Piece(str(path), "parquet", 0, groups, 0), None):
            left = rows if kept is None else rows.filter(pa.array(kept(rows)))
            ids = np.asarray(left.column("id"))
            answer = Batch(
                {"score": (ids / 2).astype(np.float32), "label": np.array([f"y{one}" for one in ids], object)}
            )
            if len(ids):
                frames.write(left, answer, group)
        frames.finish()
    return folder / "part-000000.parquet"


def chunks(path):
    """How each chunk was packed, which a second encoding would not keep."""
    meta = parquet.ParquetFile(path).metadata
    told = []
    for group in range(meta.num_row_groups):
        for at in range(meta.row_group(group).num_columns):
            chunk = meta.row_group(group).column(at)
            told.append((chunk.path_in_schema, chunk.compression, chunk.encodings, chunk.total_compressed_size))
    return told


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False, "write_page_index": True, "data_page_size": 64},
        {"compression": "gzip", "column_encoding": {"id": "DELTA_BINARY_PACKED"}, "use_dictionary": ["text"]},
    ],
)
def test_a_group_passes_as_it_stands(tmp_path, options):
    source = table(100)
    parquet.write_table(source, tmp_path / "in.parquet", row_group_size=30, **options)
    made = framed(tmp_path / "out", tmp_path / "in.parquet")
    found = parquet.read_table(made)
    assert found.drop(["score", "label"]).equals(parquet.read_table(tmp_path / "in.parquet"))
    assert found["score"].to_pylist() == [at / 2 for at in range(100)]
    assert found["label"].to_pylist() == [f"y{at}" for at in range(100)]
    assert set(chunks(tmp_path / "in.parquet")) <= set(chunks(made))
    assert [parquet.ParquetFile(made).metadata.row_group(at).num_rows for at in range(4)] == [30, 30, 30, 10]


def test_others_read_what_was_put_together(tmp_path):
    parquet.write_table(table(50), tmp_path / "in.parquet", row_group_size=20)
    made = framed(tmp_path / "out", tmp_path / "in.parquet")
    parquet.write_table(parquet.read_table(made), tmp_path / "plain.parquet")

    def asked(path):
        found = duckdb.read_parquet(str(path)).filter("id >= 10")
        return found.aggregate("count(*), sum(id), sum(score), max(label), count(x), sum(len(tags))").fetchall()

    assert asked(made) == asked(tmp_path / "plain.parquet")
    assert asked(made)[0][0] == 40


def test_the_files_of_others_pass_too(tmp_path):
    made_there = duckdb.sql("SELECT i AS id, i / 3 AS x, 'n' || i AS name FROM range(5000) t(i)")
    made_there.write_parquet(str(tmp_path / "in.parquet"))
    made = framed(tmp_path / "out", tmp_path / "in.parquet")
    assert set(chunks(tmp_path / "in.parquet")) <= set(chunks(made))
    found = duckdb.read_parquet(str(made)).aggregate("count(*), sum(id), max(name)").fetchall()
    assert found == [(5000, 12_497_500, "n999")]


def test_a_group_with_a_row_that_has_no_answer_is_encoded_without_it(tmp_path):
    source = table(60)
    parquet.write_table(source, tmp_path / "in.parquet", row_group_size=20, compression="zstd")
    made = framed(tmp_path / "out", tmp_path / "in.parquet", kept=lambda rows: np.asarray(rows.column("id")) != 25)
    found = parquet.read_table(made)
    assert found["id"].to_pylist() == [at for at in range(60) if at != 25]
    kept = [row for row in source.to_pylist() if row["id"] != 25]
    assert found.drop(["score", "label"]).to_pylist() == kept
    packed = [packing for name, packing, *_ in chunks(made) if name == "x"]
    assert packed == ["ZSTD", "SNAPPY", "ZSTD"]


def test_small_groups_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(piece, "LEAST_ROWS", 50)
    parquet.write_table(table(60), tmp_path / "in.parquet", row_group_size=20)
    made = framed(tmp_path / "out", tmp_path / "in.parquet")
    assert parquet.ParquetFile(made).metadata.num_row_groups == 1
    assert parquet.read_table(made).drop(["score", "label"]).equals(table(60))


def test_a_file_that_lies_otherwise_is_encoded(tmp_path):
    """Times of 96 bits are read as others: their chunks would not be what the footer says."""
    source = table(40).select(["id", "at"])
    parquet.write_table(source, tmp_path / "in.parquet", use_deprecated_int96_timestamps=True)
    made = framed(tmp_path / "out", tmp_path / "in.parquet")
    assert parquet.read_table(made)["at"].equals(parquet.read_table(tmp_path / "in.parquet")["at"])
    assert parquet.ParquetFile(made).schema.column(1).physical_type == "INT64"


def test_columns_of_other_types_within_a_part_are_told(tmp_path):
    rows = pa.record_batch({"id": [1]})
    answer = Batch({"score": np.zeros(1, np.float32), "label": np.array(["y"], object)})
    with Frames(tmp_path, "0", OUTPUTS) as frames:
        frames.write(rows, answer)
        frames.write(pa.record_batch({"id": ["one"]}), answer)
        with pytest.raises(InvalidInput, match="columns have other types"):
            frames.finish()
    assert not list(tmp_path.iterdir())
