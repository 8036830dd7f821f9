"""Closed loop over HTTP at the highest rate one core can ask for: wrk, given ready requests.

A closed loop sends the next request when the answer to the last has come; each connection has one on its way.
wrk looks at the status only: run `checked` before, to know that the answers are right.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from benchmarks.load.load import Load, LoadFailed, timed
from benchmarks.traffic import HOST, Traffic

SCRIPT = Path(__file__).with_name("request.lua")


def closed_loop(traffic: Traffic, connections: int, seconds: float, core: int) -> Load:
    """Load the server for some seconds from one thread on `core`. Raises LoadFailed if any request failed."""
    if shutil.which("wrk") is None:
        raise LoadFailed("wrk is not installed: on Debian, run  apt-get install wrk")
    with tempfile.NamedTemporaryFile(suffix=".requests") as file:
        for request in traffic.requests:
            file.write(b"%d\n" % len(request) + request)
        file.flush()
        command = [
            "taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "30s",
            "-s", str(SCRIPT), f"http://{HOST}:{traffic.port}{traffic.path}", "--", file.name,
        ]  # fmt: skip
        run, busy = timed(command)
    line = next((line for line in run.stdout.splitlines() if line.startswith("JSON ")), None)
    if line is None:
        raise LoadFailed(f"wrk gave no result: {run.stdout[-500:]}{run.stderr[-500:]}")
    seen = json.loads(line[5:])
    if seen["failed"] or not seen["requests"]:
        raise LoadFailed(f"{seen['failed']} of {seen['requests']} requests to {traffic.path} failed")
    return Load(
        rate=seen["requests"] / seen["duration_us"] * 1e6,
        p50_ms=seen["p50_us"] / 1e3,
        p99_ms=seen["p99_us"] / 1e3,
        p999_ms=seen["p999_us"] / 1e3,
        max_ms=seen["max_us"] / 1e3,
        requests=seen["requests"],
        busy=busy,
    )
