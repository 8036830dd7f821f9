"""A real S3 server for tests: moto's, in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_REGION": "us-east-1"}


@contextmanager
def object_storage(bucket: str) -> Iterator[str]:
    """The URL of a bucket. The environment names the endpoint and the keys meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    endpoint = f"http://127.0.0.1:{port}"
    before = dict(os.environ)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT"), timeout=10)
                    break
                except OSError:
                    assert server.poll() is None, "the S3 server did not start"
                    time.sleep(0.05)
            os.environ.update(KEYS, AWS_ENDPOINT_URL=endpoint)
            yield f"s3://{bucket}"
        finally:
            os.environ.clear()
            os.environ.update(before)
            server.terminate()
