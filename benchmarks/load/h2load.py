"""Closed loop over gRPC at the highest rate one core can ask for: h2load (nghttp2) posting one ready message.

A Python client would need as much of a core as a Python server, and would measure itself. h2load does not read gRPC's
status; but a refused call has no message, so the bytes that came are compared with those of as many right answers.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.load.load import Load, LoadFailed, timed
from benchmarks.traffic import HOST

PREFIX_BYTES = 5


class Calls(NamedTuple):
    """What is asked: a method on a port with a serialised message, whose right answer is `answer_bytes` long.

    `streams` calls are on their way at a time on each of the connections.
    """

    port: int
    method: str
    message: bytes
    answer_bytes: int
    connections: int
    streams: int


def closed_loop(calls: Calls, seconds: float, core: int) -> Load:
    """Call for some seconds from one thread on `core`. Raises LoadFailed if any call failed."""
    if shutil.which("h2load") is None:
        raise LoadFailed("h2load is not installed: on Debian, run  apt-get install nghttp2-client")
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_bytes(b"\0" + len(calls.message).to_bytes(4, "big") + calls.message)
        command = [
            "taskset", "-c", str(core), "h2load", "-t1", f"-c{calls.connections}", f"-m{calls.streams}",
            f"-D{round(seconds)}", f"--log-file={log}", "-d", str(body), "-H", "content-type: application/grpc",
            "-H", "te: trailers", f"http://{HOST}:{calls.port}{calls.method}",
        ]  # fmt: skip
        run, busy = timed(command)
        if run.returncode or not log.exists():
            raise LoadFailed(f"h2load gave no result: {run.stdout[-500:]}{run.stderr[-500:]}")
        times = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return _load(run.stdout, times, calls.answer_bytes, busy)


def _load(report: str, times_us: list[int], answer_bytes: int, busy: float) -> Load:
    rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", report)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", report)
    data = re.search(r"\((\d+)\) data", report)
    if rate is None or counts is None or data is None or not times_us:
        raise LoadFailed(f"h2load's report was not understood: {report[-500:]}")
    succeeded, *failures = (int(count) for count in counts.groups())
    expected = succeeded * (answer_bytes + PREFIX_BYTES)
    # The run is cut in flight: the last answers of a few calls may be counted on one side only.
    if sum(failures) or abs(int(data[1]) - expected) > max(0.01 * expected, 64 * answer_bytes):
        raise LoadFailed(f"calls failed: {counts[0]}, {data[1]} bytes of answers where {expected} were expected")
    p50, p99, p999, highest = (
        times_us[min(len(times_us) - 1, int(len(times_us) * share))] / 1e3 for share in (0.5, 0.99, 0.999, 1)
    )
    return Load(float(rate[1]), p50, p99, p999, highest, succeeded, busy)
