"""Spark and Ray, really running on this machine: the very job that `--engine local` does, and what may befall it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from servable.bundles.manifest import dumps
from servable.bundles.open import open_bundle
from servable.domain.bundle import MANIFEST
from servable.domain.rule import Rule
from tests.cli.command import servable
from tests.custom import HOSTILE, custom, with_own_library
from tests.offline.files import csv_files, held_at
from tests.packed import bundle_at

pytestmark = [pytest.mark.platforms, pytest.mark.timeout(900)]

STORE_BYTES = 200_000_000
"""Ray's object store."""
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def until(holds) -> None:
    give_up = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.01)


@pytest.fixture(scope="module")
def ray():
    """A Ray cluster of one machine; its address."""
    assert find_spec("ray"), "Ray is not installed: run  make test-platforms"
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-")
    words = f"--head --block --port {port} --num-cpus 2 --object-store-memory {STORE_BYTES} --include-dashboard false"
    command = [Path(sys.executable).with_name("ray"), "start", *words.split(), "--temp-dir", folder]
    log = Path(folder) / "started"
    environ = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "SERVABLE_HOME": f"{folder}/home",
        "RAY_AUTH_MODE": "disabled",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environ)
    try:
        until(lambda: "Ray runtime started" in log.read_text(errors="replace") or process.poll() is not None)
        assert process.poll() is None, log.read_text(errors="replace")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["spark", "ray"])
def cluster(request, monkeypatch, tmp_path):
    """The options that bring a job there."""
    if request.param == "ray":
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # whether or not whoever tests has a token of Ray's
        return ["--engine", "ray", "--cluster", request.getfixturevalue("ray")]
    assert find_spec("pyspark"), "Spark is not installed: run  make test-platforms"
    assert shutil.which("java") or "JAVA_HOME" in os.environ, "Spark needs Java: run  make test-platforms"
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", QUICK_JAVA)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("SERVABLE_HOME", str(tmp_path / "machine"))
    return ["--engine", "spark", "--cluster", "local[2]"]


@pytest.fixture
def job(tmp_path):
    """Runs one, in a home and an output folder of the name."""

    def run(name, *words, ref, code=0):
        where = ["--home", tmp_path / name, "--output", tmp_path / f"{name}-out", "--json"]
        ended = servable("batch", ref, "--input", tmp_path / "in", "--key", "id", "--table", "t", *where, *words)
        assert ended.code == code, ended
        return ended.json

    return run


def left(tmp_path, name):
    """All that a job leaves: what its table answers, its Parquet files, the rows it set aside."""
    files = {path.name: path.read_bytes() for path in (tmp_path / f"{name}-out").iterdir()}
    return held_at(tmp_path / name, "t"), files, (tmp_path / name / "offline/jobs/t/rejected.jsonl").read_bytes()


def same(verdict):
    """What two runs of a job say alike. A run that was killed has used up a generation."""
    own = {"seconds", "parts_resumed", "generation"}
    return {name: number for name, number in verdict["numbers"].items() if name not in own}


def test_a_cluster_does_the_very_same_job(cluster, job, tmp_path):
    """Rows that are bad or refused, a key that comes twice, rules, and another model that a rule hands over to."""
    csv_files(tmp_path / "in", 6, 50, "k1,0,0\nbad,x,1\nshort,1\n")
    other = bundle_at(tmp_path / "tripled", "tripled", 3.0)
    job_home = [tmp_path / "local", tmp_path / "there"]
    for home in job_home:
        assert servable("models", "register", other, "--home", home).code == 0
    bundle = bundle_at(tmp_path / "ruled")
    manifest = open_bundle(bundle).manifest
    field = msgspec.structs.replace(manifest.signature.inputs[0], features=("a", "b"))
    rules = (
        Rule("adult", column="a", low=5, action="refuse", reason="we lend to adults only"),
        Rule("old", when="a > 100 and a < 110", action="fallback", fallback="tripled"),
    )
    signature = msgspec.structs.replace(manifest.signature, inputs=(field,))
    (bundle / MANIFEST).write_bytes(dumps(msgspec.structs.replace(manifest, signature=signature, rules=rules)))
    expected = job("local", "--max-bad", 0.2, ref=bundle)
    assert (expected["numbers"]["rows"], expected["numbers"]["bad"], expected["numbers"]["duplicates"]) == (303, 8, 0)
    told = job("there", "--max-bad", 0.2, *cluster, ref=bundle)
    assert same(told) == same(expected)
    assert left(tmp_path, "there") == left(tmp_path, "local")
    assert held_at(tmp_path / "there", "t")["k101"] == {"y": [303.0, 151.5]}


def test_a_job_that_was_killed_goes_on(cluster, job, tmp_path):
    """The command dies; what it started on the cluster is somebody else's. Then it ends there as if undisturbed."""
    csv_files(tmp_path / "in", 20, 100, "k1,0,0\nbad,x,1\n")
    bundle = bundle_at(tmp_path / "bundle")
    calm = job("calm", ref=bundle)
    words = ["--input", tmp_path / "in", "--key", "id", "--table", "t", "--output", tmp_path / "there-out"]
    command = [sys.executable, "-m", "servable", "batch", bundle, *words, "--home", tmp_path / "there", *cluster]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, start_new_session=True) as process:
        reports = tmp_path / "there/offline/jobs/t/parts"
        until(lambda: len(list(reports.glob("*.json"))) >= 2 or process.poll() is not None)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(Exception, match="no table 't'"):
        held_at(tmp_path / "there", "t")
    told = job("there", "--resume", *cluster, ref=bundle)
    assert told["numbers"]["parts_resumed"] >= 2
    assert same(told) == same(calm)
    assert left(tmp_path, "there") == left(tmp_path, "calm")


def test_code_of_others_is_walled_in_there_too(cluster, job, tmp_path):
    bundle = custom(tmp_path / "hostile", HOSTILE)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/1.csv").write_text("id,do,x\n1,home,1\n2,read /etc/shadow,2\n3,connect 127.0.0.1:9,3\n")
    job("there", *cluster, ref=bundle)
    rows = held_at(tmp_path / "there", "t")
    assert [rows[key]["y"] for key in "123"] == [2.0, 4.0, 6.0]
    assert "scratch" in rows["1"]["said"] and "Error" in rows["2"]["said"] and "Error" in rows["3"]["said"]


def test_a_model_runs_there_on_the_libraries_it_names(cluster, job, tmp_path):
    bundle = with_own_library(tmp_path / "own", "1.16.0")
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.csv").write_text(f"id,x\n{name},1\n")
    job("there", *cluster, ref=bundle)
    assert not (tmp_path / "there/environments").exists()
    assert held_at(tmp_path / "there", "t") == {"a": {"six": "1.16.0"}, "b": {"six": "1.16.0"}}


def test_what_fails_there_fails_as_it_does_here(cluster, job, tmp_path):
    csv_files(tmp_path / "in", 2, 10, "bad,x,1\n")
    bundle = bundle_at(tmp_path / "bundle")
    for name, words in (("local", []), ("there", cluster)):
        told = job(name, *words, "--max-bad", 0.01, ref=bundle, code=1)
        assert told["code"] == "check_failed" and "1 of 21 rows have no answer" in told["error"]
        rejected = (tmp_path / name / "offline/jobs/t/rejected.jsonl").read_text()
        assert json.loads(rejected)["reasons"] == ["'a': expected a number, got 'x'"]
        with pytest.raises(Exception, match="no table 't'"):
            held_at(tmp_path / name, "t")


def processes(*words, below=None):
    """The ids of all whose command line holds these words, and of whose ancestors one does (`below`)."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(entry.name)] = (line, parent)

    def under(process):
        while process in found:
            line, process = found[process]
            if below in line:
                return True
        return False

    return [one for one, (line, _) in found.items() if all(word in line for word in words) and under(one)]


def test_a_machine_that_is_lost_in_the_middle_is_replaced(cluster, job, tmp_path, monkeypatch):
    """Spark's executor, or the process of Ray's actor, is killed with what it was doing; another does it again."""
    csv_files(tmp_path / "in", 30, 100, "k1,0,0\nbad,x,1\n")
    bundle = bundle_at(tmp_path / "bundle")
    calm = job("calm", ref=bundle)
    if "spark" in cluster:
        monkeypatch.setenv("SPARK_WORKER_DIR", str(tmp_path / "executors"))
        cluster = [*cluster[:-1], "local-cluster[2,1,1024]"]
        whose, words = str(tmp_path / "there"), ("CoarseGrainedExecutorBackend",)
    else:
        whose, words = ":" + cluster[-1].rpartition(":")[2], ("ray::", "_Actor")  # Ray's port, in its own words
    there = ["--input", tmp_path / "in", "--key", "id", "--table", "t", "--output", tmp_path / "there-out"]
    command = [sys.executable, "-m", "servable", "batch", bundle, *there, "--home", tmp_path / "there", *cluster]
    with subprocess.Popen([*map(str, command), "--json"], stdout=subprocess.PIPE) as process:
        reports = tmp_path / "there/offline/jobs/t/parts"
        until(lambda: len(list(reports.glob("*.json"))) >= 2 or process.poll() is not None)
        lost = processes(*words, below=whose)
        done = len(list(reports.glob("*.json")))
        assert process.poll() is None and lost
        os.kill(lost[0], signal.SIGKILL)
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert done < 30
    assert same(json.loads(said)) == same(calm)
    assert left(tmp_path, "there") == left(tmp_path, "calm")
