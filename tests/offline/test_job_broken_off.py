"""Bulk jobs that are broken off, by a kill, a full disk, a store that goes; and gone on with."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet
from pyarrow.dataset import dataset

from servable.stores.tables.open import open_tables
from tests.offline.files import csv_files, held, held_at
from tests.stores.tables import places


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
def test_only_the_same_job_goes_on(batch, tmp_path):
    source = csv_files(tmp_path / "in", more="bad,x,1\n")
    batch("--input", source, "--key", "id", "--table", "t", "--max-bad", 0, code=1)
    told = batch("--input", csv_files(tmp_path / "in", 2), "--key", "id", "--table", "t", "--resume", code=2)
    assert "it had another source" in told["error"]


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
    killed: set[int] = set()
    while job.poll() is None and len(killed) < 2:
        told = subprocess.run(["ps", "--ppid", str(job.pid), "-o", "pid="], capture_output=True, text=True, check=False)
        workers = {int(pid) for pid in told.stdout.split()} - killed
        if workers and list((tmp_path / "home/offline/jobs/t/parts").glob("*.json")):
            os.kill(min(workers), signal.SIGKILL)
            killed.add(min(workers))
    assert (job.wait(), bool(killed)) == (0, True)
    assert len(held_at(tmp_path / "home", "t")) == 4000


@pytest.mark.faults
def test_a_full_disk_is_told_and_the_job_goes_on_when_there_is_room(batch, tmp_path):
    source = csv_files(tmp_path / "in", 3, 20_000)
    words = ["--input", source, "--key", "id", "--table", "t"]

    def small(size=100_000):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    told = batch(*words, code=3, preexec_fn=small)
    assert "cannot write" in told["error"] and "--resume" in told["error"]
    told = batch(
        *words, "--resume", code=3, preexec_fn=lambda: small(1_500_000)
    )  # room for the parts, not for the table
    assert "cannot use the tables" in told["error"] and "make room" in told["error"]
    with pytest.raises(Exception, match="no table 't'"):
        held_at(tmp_path / "home", "t")
    told = batch(*words, "--resume")
    assert told["numbers"]["parts_resumed"] >= 1
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
