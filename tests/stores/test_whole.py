from __future__ import annotations

import os
import subprocess
import sys

import pytest

from servable.stores.whole import write_whole


def test_a_file_is_replaced_as_a_whole_and_is_ours_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(0o644)
    write_whole(path, b"after")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"after", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_changes_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    (tmp_path / f".file.{os.getpid()}").symlink_to(tmp_path / "elsewhere")  # a trap in the way
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(path, b"after")
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"before"
    code = """if True:
        import pathlib, resource, signal, sys
        from servable.stores.whole import write_whole
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # as a disk that is full
        write_whole(pathlib.Path(sys.argv[1]), b"x" * 100_000)
    """
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "File too large" in ended.stderr
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"before"
