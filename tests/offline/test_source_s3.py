"""Sources in S3-like storage, from a real server of its protocol."""

from __future__ import annotations

import pytest
from pyarrow import fs

from servable.offline.piece import read
from servable.offline.source import find


@pytest.fixture
def bucket(monkeypatch):
    """The URL of a bucket; what is put there."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    system, _ = fs.FileSystem.from_uri("s3://bank/?allow_bucket_creation=true")
    system.create_dir("bank")

    def put(path, data):
        with system.open_output_stream(path) as file:
            file.write(data)

    yield put
    server.stop()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("s3://bank/night", [b"k1", b"k2"]),
        ("s3://bank/night/", [b"k1", b"k2"]),
        ("s3://bank/*/b*.csv", [b"k2"]),
        ("s3://bank/night/a.csv", [b"k1"]),
    ],
)
def test_files_in_a_bucket(bucket, where, expected):
    bucket("bank/night/a.csv", b"id,x\nk1,1\n")
    bucket("bank/night/b.csv", b"id,x\nk2,2\n")
    found = find(where)
    blocks = [block for part in found.parts for piece in part.pieces for block, *_ in read(piece, ["id"])]
    assert [row["id"] for block in blocks for row in block.to_pylist()] == expected
