"""What only the writer of LMDB promises: the file that it fills does not become memory of its process."""

import random
from pathlib import Path

from servable.domain.field import Field
from servable.stores.tables import lmdb_writer
from servable.stores.tables.generation import Generation
from servable.stores.tables.open import open_tables


def mapped_bytes(file):
    """Of a mapped file, what is in this process's memory."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="ascii").splitlines():
        if "-" in line.split()[0]:
            ours = line.endswith(str(file))
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def test_pages_that_were_looked_at_are_let_go_of(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_writer, "MOST_SEEN", 1 << 20)
    keys = [b"%08d" % number for number in range(60_000)]
    random.Random(0).shuffle(keys)
    tables = open_tables(tmp_path)
    stated = Generation("churn", "churn", "3", "d" * 64, 1000.0, "text", (Field("score", "FP32"),))
    with tables.begin(stated) as writer:
        for start in range(0, len(keys), 4_000):
            assert writer.write(keys[start : start + 4_000], [b"x" * 100] * 4_000) == 4_000
            (file,) = tmp_path.rglob("churn/*/data.mdb")
            assert mapped_bytes(file) <= 2 << 20
        assert file.stat().st_size > 6 << 20
        tables.switch("churn", writer.finish().number)
    assert tables.live("churn").rows == len(keys)
    assert tables.read("churn", [keys[0], keys[-1], b"none"]).answers == [b"x" * 100, b"x" * 100, None]
    tables.close()
