"""Bulk jobs as they are run: with workers, to tables and files; broken off, and gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet
from pyarrow.dataset import dataset

from servable.bundles.manifest import dumps
from servable.bundles.open import open_bundle
from servable.cli import main
from servable.domain.bundle import MANIFEST
from servable.domain.rule import Rule
from servable.stores.tables.open import open_tables
from tests.cli.command import servable
from tests.custom import HOSTILE, custom, with_own_library
from tests.offline.files import csv_files, held, held_at
from tests.packed import bundle_at, scaler
from tests.stores.tables import places


@pytest.fixture
def batch(tmp_path):
    """`servable batch` with a model that doubles two columns."""
    model = scaler(tmp_path / "scaler.onnx")

    def run(*words, home=None, code=0, ref=model, **options):
        ended = servable("batch", ref, *words, "--home", home or tmp_path / "home", "--json", "--workers", 1, **options)
        assert ended.code == code, ended
        return ended.json

    return run


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


def test_a_job_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(batch, tmp_path):
    source = csv_files(tmp_path / "in", 12, 50, "k1,0,0\nbad,x,1\n")
    words = ["--input", source, "--key", "id", "--table", "t", "--output", tmp_path / "out", "--max-bad", "0.1"]
    undisturbed = ["--input", source, "--key", "id", "--table", "t", "--output", tmp_path / "calm", "--max-bad", "0.1"]
    batch(*undisturbed, home=tmp_path / "calm-home")
    command = [sys.executable, "-m", "servable", "batch", tmp_path / "scaler.onnx", *words, "--home", tmp_path / "home"]
    reports = tmp_path / "home/offline/jobs/t/parts"
    job = subprocess.Popen([*map(str, command), "--workers", "1"], stdout=subprocess.DEVNULL)
    while job.poll() is None and len(list(reports.glob("*.json"))) < 3:
        time.sleep(0.001)
    job.send_signal(signal.SIGKILL)
    job.wait()
    with pytest.raises(Exception, match="no table 't'"):
        held_at(tmp_path / "home", "t")
    (tmp_path / "out" / ".part-000007.parquet.1").touch()  # as a worker leaves it that dies while it writes
    told = batch(*words, "--resume")
    assert (told["numbers"]["rows"], told["numbers"]["parts_resumed"] >= 3) == (602, True)
    assert held_at(tmp_path / "home", "t") == held_at(tmp_path / "calm-home", "t")
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "calm").iterdir()}
    again = batch(*words, "--resume")
    assert again["numbers"] == told["numbers"]
    assert len(list((tmp_path / "home/offline/tables/t").glob("*"))) == 2  # a lock, and one generation


@pytest.mark.faults
def test_parquet_to_parquet_gives_the_same_bytes_with_any_workers_and_after_a_kill(batch, tmp_path):
    """Groups pass as they stand; the one with a row that does not fit is encoded without it."""
    rows = 800_000
    numbers = pa.array(range(rows), pa.float32())
    ids = pa.array([None if at == 300_001 else at for at in range(rows)])
    table = pa.table({"id": ids, "a": numbers, "b": numbers})
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=40_000, compression="zstd")
    words = ["--input", tmp_path / "in.parquet", "--key", "id", "--output"]
    batch(*words, tmp_path / "calm", "--table", "t", home=tmp_path / "calm-home")
    more = [*words, tmp_path / "out", "--table", "t", "--home", tmp_path / "home", "--workers", 2]
    command = [sys.executable, "-m", "servable", "batch", tmp_path / "scaler.onnx", *more]
    job = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, start_new_session=True)
    while job.poll() is None and not list((tmp_path / "home/offline/jobs/t/parts").glob("*.json")):
        time.sleep(0.001)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    told = batch(*words, tmp_path / "out", "--table", "t", "--resume")
    assert (told["numbers"]["answered"], told["numbers"]["bad"]) == (rows - 1, 1)
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "calm").iterdir()}
    found = dataset(tmp_path / "out").to_table()
    assert found.drop(["y_0", "y_1"]).to_pydict() == table.filter(pc.is_valid(table["id"])).to_pydict()
    assert found["y_0"].to_pylist() == [2.0 * at for at in range(rows) if at != 300_001]


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
def test_only_the_same_job_goes_on(batch, tmp_path):
    source = csv_files(tmp_path / "in", more="bad,x,1\n")
    batch("--input", source, "--key", "id", "--table", "t", "--max-bad", 0, code=1)
    told = batch("--input", csv_files(tmp_path / "in", 2), "--key", "id", "--table", "t", "--resume", code=2)
    assert "it had another source" in told["error"]


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


def test_code_of_others_runs_in_a_process_of_its_own(batch, tmp_path):
    bundle = custom(tmp_path / "hostile", HOSTILE)
    (tmp_path / "in.csv").write_text("id,do,x\n1,home,1\n2,read /etc/shadow,2\n3,connect 127.0.0.1:9,3\n")
    batch("--input", tmp_path / "in.csv", "--key", "id", "--table", "t", ref=bundle)
    rows = held_at(tmp_path / "home", "t")
    assert [rows[key]["y"] for key in "123"] == [2.0, 4.0, 6.0]
    assert "scratch" in rows["1"]["said"] and "Error" in rows["2"]["said"] and "Error" in rows["3"]["said"]


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
        (["--table", "../t", "--key", "id"], "cannot name a table"),
        (["--table", "t", "--key", "id", "--fresh", "soon"], "expected a length of time"),
        (["--table", "t", "--key", "id", "--max-bad", "2"], "a share from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path, capsys, wish, said):
    model = scaler(tmp_path / "scaler.onnx")
    source = csv_files(tmp_path / "in")
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(model), "--input", str(source), *wish, "--home", str(tmp_path / "home")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.faults
@pytest.mark.parametrize("moment", range(12))
def test_killed_at_any_moment(batch, tmp_path, moment):
    """All of it and its workers, a little later each time; then gone on with until the end."""
    source = csv_files(tmp_path / "in", 24, 200)
    words = [str(tmp_path / "scaler.onnx"), "--input", str(source), "--key", "id", "--table", "t"]
    home = tmp_path / "home"
    command = [sys.executable, "-m", "servable", "batch", *words, "--home", str(home), "--resume", "--workers", "2"]
    for attempt in range(3):
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            job.wait(0.35 + 0.12 * moment + 0.2 * attempt)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
    batch("--input", source, "--key", "id", "--table", "t", "--resume", home=home)
    rows = held_at(home, "t")
    assert rows == {f"k{number}": {"y": [2.0 * number, float(number)]} for number in range(24 * 200)}


@pytest.mark.faults
def test_a_worker_that_is_killed_is_replaced(batch, tmp_path):
    source = csv_files(tmp_path / "in", 40, 100)
    words = [str(tmp_path / "scaler.onnx"), "--input", str(source), "--key", "id", "--table", "t"]
    command = [sys.executable, "-m", "servable", "batch", *words, "--home", str(tmp_path / "home"), "--workers", "1"]
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    killed = 0
    while job.poll() is None and killed < 2:
        told = subprocess.run(["ps", "--ppid", str(job.pid), "-o", "pid="], capture_output=True, text=True, check=False)
        if told.stdout.strip() and list((tmp_path / "home/offline/jobs/t/parts").glob("*.json")):
            os.kill(int(told.stdout.split()[0]), signal.SIGKILL)
            killed += 1
            time.sleep(0.5)
    assert (job.wait(), killed >= 1) == (0, True)
    assert len(held_at(tmp_path / "home", "t")) == 4000


@pytest.mark.faults
def test_a_full_disk_is_told_and_the_job_goes_on_when_there_is_room(batch, tmp_path):
    source = csv_files(tmp_path / "in", 3, 20_000)
    words = ["--input", source, "--key", "id", "--table", "t"]

    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    told = batch(*words, code=3, preexec_fn=small)
    assert "cannot write" in told["error"] and "--resume" in told["error"]
    batch(*words, "--resume")
    assert len(held_at(tmp_path / "home", "t")) == 60_000


@pytest.mark.faults
def test_redis_that_goes_in_the_middle_is_told_and_the_job_goes_on_with_another(batch, tmp_path):
    source = csv_files(tmp_path / "in", 30, 200)
    words = [str(tmp_path / "scaler.onnx"), "--input", str(source), "--key", "id", "--table", "t", "--workers", "1"]
    home = ["--home", str(tmp_path / "home")]
    with places.redis_server(tmp_path) as (url, server):
        command = [sys.executable, "-m", "servable", "batch", *words, *home, "--tables", url]
        job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while job.poll() is None and not list((tmp_path / "home/offline/jobs/t/parts").glob("*.json")):
            time.sleep(0.001)
        server.kill()
        _, said = job.communicate()
        assert (job.returncode, "cannot reach the tables in Redis" in said) == (1, True)
    with places.redis_server(tmp_path) as (url, _):
        batch("--input", source, "--key", "id", "--table", "t", "--tables", url, "--resume")
        tables = open_tables(tmp_path, url)
        assert len(held(tables, "t")) == 6000
        tables.close()
