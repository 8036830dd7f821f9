"""Bulk jobs as they are run: with workers, to tables and files."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from pyarrow.dataset import dataset

from servable.bundles.manifest import dumps
from servable.bundles.open import open_bundle
from servable.cli import main
from servable.domain.bundle import MANIFEST
from servable.domain.rule import Rule
from tests.cli.command import servable
from tests.custom import CHOOSY, HOSTILE, custom, with_own_library
from tests.offline.files import csv_files, held_at
from tests.packed import bundle_at, scaler
from tests.stores.tables import places


def test_every_row_is_answered_and_the_others_are_set_aside(batch, tmp_path):
    source = csv_files(tmp_path / "in", more="bad,x,1\nshort,1\n,1,1\nk3,5,6\n")
    told = batch("--input", source, "--key", "id", "--table", "t", "--output", tmp_path / "out", "--max-bad", 0.2)
    assert told["passed"] and "31 of 34 rows answered" in told["reason"]
    numbers = {name: told["numbers"][name] for name in ("rows", "answered", "bad", "duplicates", "parts", "generation")}
    assert numbers == {"rows": 34, "answered": 31, "bad": 3, "duplicates": 1, "parts": 3, "generation": 1}
    rows = held_at(tmp_path / "home", "t")
    assert len(rows) == 30
    assert (rows["k0"], rows["k7"], rows["k3"]) == ({"y": [0.0, 0.0]}, {"y": [14.0, 7.0]}, {"y": [10.0, 12.0]})
    rejected = [json.loads(line) for line in Path(told["evidence"]["rejected"]).read_text().splitlines()]
    assert [(line["row"], line["reasons"][0]) for line in rejected] == [
        (10, "'a': expected a number, got 'x'"),
        (11, "'id': there is no key"),
        (11, "expected 3 values, got 2"),
    ]
    assert {Path(line["source"]).name for line in rejected} == {"002.csv"}
    frame = dataset(tmp_path / "out").to_table().to_pylist()
    assert len(frame) == 31 and frame[1] == {"id": "k1", "a": 1.0, "b": 0.5, "y_0": 2.0, "y_1": 1.0}


def test_files_have_the_columns_that_are_wanted(batch, tmp_path):
    rows = 20_000  # a group that goes over as it stands, where all columns are wanted
    numbers = np.arange(rows, dtype=np.float64)
    table = pa.table({"a": numbers, "b": numbers / 2, "id": np.arange(rows)})
    parquet.write_table(table, tmp_path / "in.parquet")
    words = ["--input", tmp_path / "in.parquet", "--key", "id", "--output", tmp_path / "out"]
    for columns, names in (("id,a", ["id", "a"]), ("", [])):
        batch(*words, "--columns", columns)
        found = parquet.read_table(tmp_path / "out" / "part-000000.parquet")
        assert found.column_names == [*names, "y_0", "y_1"]
        assert found.select(names).equals(table.select(names))
        assert found["y_0"].to_pylist() == (2 * numbers).tolist()


def test_too_many_bad_rows_change_nothing(batch, tmp_path):
    batch("--input", csv_files(tmp_path / "in"), "--key", "id", "--table", "t")
    told = batch(
        "--input",
        csv_files(tmp_path / "in", more="bad,x,1\n"),
        "--key",
        "id",
        "--table",
        "t",
        "--max-bad",
        0.01,
        code=1,
    )
    assert told["code"] == "check_failed" and "1 of 31 rows have no answer" in told["error"]
    assert len(held_at(tmp_path / "home", "t")) == 30


@pytest.mark.faults
def test_a_terminal_sees_how_far_it_is(tmp_path):
    ours, theirs = pty.openpty()
    source = csv_files(tmp_path / "in", 5, 1000)
    words = [scaler(tmp_path / "scaler.onnx"), "--input", source, "--key", "id", "--table", "t", "--home", tmp_path]
    command = [sys.executable, "-m", "servable", "batch", *words]
    job = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the end of a terminal that nobody holds any more
        while more := os.read(ours, 10_000):
            seen += more
    os.close(ours)
    assert job.wait() == 0
    assert b"%" in seen and b"5,000 rows" in seen and b"a second" in seen
    assert re.search(rb"\d:\d\d:\d\d", seen)  # the time that is left


@pytest.mark.faults
def test_two_rows_with_one_key(batch, tmp_path):
    source = csv_files(tmp_path / "in", more="k3,5,6\n")
    words = ["--input", source, "--key", "id", "--table", "t", "--duplicates"]
    batch(*words, "first")
    assert held_at(tmp_path / "home", "t")["k3"] == {"y": [6.0, 3.0]}
    told = batch(*words, "refuse", code=1)
    assert "1 rows have a key that another row has" in told["error"]


def test_a_query_is_answered(batch, tmp_path):
    query = "SELECT 'k' || i AS id, i AS a, i / 2 AS b FROM range(5) t(i)"
    batch("--query", query, "--key", "id", "--table", "t")
    assert held_at(tmp_path / "home", "t")["k3"] == {"y": [6.0, 3.0]}
    with places.postgresql(tmp_path / "pg") as url:
        made = "SELECT md5(i::text)::uuid AS id, i::float8 AS a, i / 2.0 AS b FROM generate_series(1, 5) AS t(i)"
        batch("--input", url, "--query", made, "--key", "id", "--table", "t")
    rows = held_at(tmp_path / "home", "t")
    assert rows["eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3"] == {"y": [6.0, 3.0]} and len(rows) == 5
    assert "no such table" in batch(
        "--input", f"sqlite:///{tmp_path}/x.db", "--query", "SELECT * FROM x", "--key", "id", "--table", "t", code=2
    )["error"]  # fmt: skip


def test_rules_decide_as_they_do_in_a_door(batch, tmp_path):
    rules = (
        Rule("adult", column="a", low=5, action="refuse", reason="we lend to adults only"),
        Rule("many", when="a > 20", action="flag"),
        Rule("known", when="b == 10", action="answer", answer={"y": [7, 7]}),
    )
    bundle = bundle_at(tmp_path / "ruled")
    manifest = open_bundle(bundle).manifest
    field = msgspec.structs.replace(manifest.signature.inputs[0], features=("a", "b"))
    signature = msgspec.structs.replace(manifest.signature, inputs=(field,))
    (bundle / MANIFEST).write_bytes(dumps(msgspec.structs.replace(manifest, signature=signature, rules=rules)))
    source = csv_files(tmp_path / "in")
    told = batch("--input", source, "--key", "id", "--table", "t", "--max-bad", 0.5, ref=bundle)
    rows = held_at(tmp_path / "home", "t")
    assert (told["numbers"]["bad"], len(rows)) == (5, 25)
    assert (rows["k6"], rows["k20"]) == ({"y": [12.0, 6.0]}, {"y": [7.0, 7.0]})
    rejected = json.loads(Path(told["evidence"]["rejected"]).read_text().splitlines()[4])
    assert (rejected["row"], rejected["reasons"]) == (4, ["rule 'adult': we lend to adults only"])


def test_a_column_that_the_model_may_do_without_is_told_and_read_where_it_comes_late(batch, tmp_path):
    bundle = bundle_at(tmp_path / "bundle")
    manifest = open_bundle(bundle).manifest
    field = msgspec.structs.replace(manifest.signature.inputs[0], features=("a", "b"), values="missing")
    signature = msgspec.structs.replace(manifest.signature, inputs=(field,))
    (bundle / MANIFEST).write_bytes(dumps(msgspec.structs.replace(manifest, signature=signature)))
    rows = [{"id": number, "a": number} for number in range(1000)] + [{"id": 1000, "a": 1, "b": 7}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["--input", tmp_path / "in.jsonl", "--key", "id", "--table", "t", "--output", tmp_path / "out"]
    told = batch(*words, ref=bundle)
    assert told["evidence"]["lacking"] == ["b"] and "without b, which the first rows have not" in told["reason"]
    held_rows = held_at(tmp_path / "home", "t")
    assert (held_rows[1000], held_rows[999]) == ({"y": [2.0, 14.0]}, {"y": [1998.0, None]})
    assert dataset(tmp_path / "out").to_table()["b"].to_pylist()[-2:] == [None, 7]


def test_the_summary_tells_which_columns_moved(batch, tmp_path):
    draw = np.random.default_rng(0)
    model, keys = scaler(tmp_path / "m.onnx"), [f"k{at}" for at in range(500)]
    train = {"a": draw.normal(0, 1, 500), "b": draw.normal(0, 1, 500)}
    parquet.write_table(pa.table(train), tmp_path / "train.parquet")
    packed = servable("pack", model, "--name", "m", "--sample", tmp_path / "train.parquet", "--output",
                      tmp_path / "bundle", "--no-register", "--home", tmp_path / "home")  # fmt: skip
    assert packed.code == 0, packed
    night = {"id": keys, "a": draw.normal(3, 1, 500), "b": draw.normal(0, 1, 500)}
    parquet.write_table(pa.table(night), tmp_path / "night.parquet")
    told = batch("--input", tmp_path / "night.parquet", "--key", "id", "--table", "t", ref=tmp_path / "bundle")
    assert list(told["evidence"]["drift"]) == ["a"] and told["numbers"]["drift"] > 1
    assert told["reason"].endswith("far from the training data: a") and told["numbers"]["seconds"] > 0


@pytest.mark.faults
def test_folders_alone_are_jobs_of_their_own_whatever_they_are_called(batch, tmp_path, monkeypatch):
    rows = csv_files(tmp_path / "in")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for number, name in enumerate(["1/out", "2/out", "3/2026.01 scores", "."], 1):
        batch("--input", rows, "--key", "id", "--output", name)
        assert len(dataset(sorted(Path(name).glob("*.parquet"))).to_table()) == 30
        assert len(list((tmp_path / "home/offline/jobs").iterdir())) == number


def test_code_of_others_runs_in_a_process_of_its_own(batch, tmp_path):
    bundle = custom(tmp_path / "hostile", HOSTILE)
    (tmp_path / "in.csv").write_text("id,do,x\n1,home,1\n2,read /etc/shadow,2\n3,connect 127.0.0.1:9,3\n")
    batch("--input", tmp_path / "in.csv", "--key", "id", "--table", "t", ref=bundle)
    rows = held_at(tmp_path / "home", "t")
    assert [rows[key]["y"] for key in "123"] == [2.0, 4.0, 6.0]
    assert "scratch" in rows["1"]["said"] and "Error" in rows["2"]["said"] and "Error" in rows["3"]["said"]


def test_rows_that_the_model_fails_on_are_set_aside_and_the_others_answered(batch, tmp_path):
    bundle = custom(tmp_path / "choosy", CHOOSY)
    xs = [-1 if at in {3, 700, 701} else at * at for at in range(1000)]
    (tmp_path / "in.csv").write_text("id,x\n" + "".join(f"k{at},{x}\n" for at, x in enumerate(xs)))
    words = ["--input", tmp_path / "in.csv", "--key", "id", "--table", "t", "--output", tmp_path / "out"]
    told = batch(*words, ref=bundle)
    assert (told["numbers"]["rows"], told["numbers"]["bad"]) == (1000, 3)
    rejected = [json.loads(line) for line in Path(told["evidence"]["rejected"]).read_text().splitlines()]
    assert [(line["row"], line["values"]["id"]) for line in rejected] == [(3, "k3"), (700, "k700"), (701, "k701")]
    assert "no roots of what is below nothing" in rejected[0]["reasons"][0]
    expected = {f"k{at}": {"y": float(at)} for at, x in enumerate(xs) if x >= 0}
    assert held_at(tmp_path / "home", "t") == expected
    frame = dataset(tmp_path / "out").to_table().to_pylist()
    assert {row["id"]: {"y": row["y"]} for row in frame} == expected
    for x, code, said in ((-1, "model_failed", "no roots of"), (666, "model_failed", "died of a call with 30 rows")):
        (tmp_path / "in.csv").write_text("id,x\n" + "".join(f"k{at},{x}\n" for at in range(30)))
        ended = batch(*words, "--max-bad", 1, ref=bundle, code=1)
        assert (ended["code"], said in ended["error"]) == (code, True)
    assert len(held_at(tmp_path / "home", "t")) == 997


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_model_runs_on_the_libraries_it_names(batch, tmp_path):
    """They are installed once, though all workers want them at the same time."""
    bundle = with_own_library(tmp_path / "own", "1.16.0")
    for name in ("a", "b"):
        (tmp_path / f"in-{name}.csv").write_text(f"id,x\n{name},1\n")
    batch("--input", tmp_path / "in-*.csv", "--key", "id", "--table", "t", "--workers", 2, ref=bundle)
    assert held_at(tmp_path / "home", "t") == {"a": {"six": "1.16.0"}, "b": {"six": "1.16.0"}}


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (["--table", "t"], "a table needs --key"),
        ([], "say where the answers go"),
        (["--table", "t", "--key", "nope"], "no column 'nope' for the key"),
        (["--output", "{out}", "--columns", "id,nope,no"], "no column 'nope', 'no': it has id, a, b"),
        (["--table", "t", "--key", "id", "--columns", "id"], "--columns are those of the files of --output"),
        (["--table", "../t", "--key", "id"], "cannot name a table"),
        (["--table", "t", "--key", "id", "--fresh", "soon"], "expected a length of time"),
        (["--table", "t", "--key", "id", "--max-bad", "2"], "a share from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path, capsys, wish, said):
    model = scaler(tmp_path / "scaler.onnx")
    source = csv_files(tmp_path / "in")
    wish = [word.format(out=tmp_path / "out") for word in wish]
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(model), "--input", str(source), *wish, "--home", str(tmp_path / "home")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
