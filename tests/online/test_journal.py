"""The journal: what was accepted is there, in order, whatever happened; what was not is not."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.errors import Conflict, CorruptModel, Unavailable
from servable.online.event import Asked, Examples, batch_of, column, columns
from servable.online.journal import Entry, Journal, files_of, read


def examples(start: int, rows: int = 2, source: str = "s") -> Examples:
    batch = Batch({"x": np.arange(start, start + rows, dtype=np.float64)[:, None]})
    return Examples(
        1.5, source, tuple(f"id-{n}" for n in range(start, start + rows)), (0,) * rows, columns(batch),
        column("", np.ones(rows, np.int64)),
    )  # fmt: skip


def values(entries: list[Entry]) -> list[float]:
    return [
        x for e in entries if isinstance(e.event, Examples) for x in batch_of(e.event.columns)["x"].ravel().tolist()
    ]


def test_what_was_accepted_reads_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.append([examples(0), examples(2, 3)]) == 0
    assert journal.append([Asked(2.0, ("a",), ())]) == 5
    assert journal.append([examples(5, 1)]) == 5
    assert values(list(read(tmp_path))) == [0, 1, 2, 3, 4, 5]
    assert [(e.offset, e.after) for e in read(tmp_path, 2)] == [(2, 5), (5, 5), (5, 6)]
    journal.close()
    again = Journal(tmp_path)
    assert again.offset == 6
    again.close()


def test_files_roll_and_reading_starts_in_the_right_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes=200)
    for start in range(0, 40, 2):
        journal.append([examples(start)])
    journal.close()
    assert len(files_of(tmp_path)) > 5
    for start in range(0, 40, 2):
        assert values(list(read(tmp_path, start)))[0] == start
    assert Journal(tmp_path, file_bytes=200).offset == 40


def test_one_writer(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(Conflict, match="one writer"):
        Journal(tmp_path)
    journal.close()
    Journal(tmp_path).close()


def test_every_torn_end_is_cut_off_and_every_other_damage_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([examples(0)])
    whole = journal.folder / files_of(tmp_path)[0].name
    kept = whole.stat().st_size
    journal.append([examples(2)])
    journal.close()
    data = whole.read_bytes()
    for end in range(kept + 1, len(data)):
        whole.write_bytes(data[:end])
        again = Journal(tmp_path)
        assert again.offset == 2
        again.append([examples(2)])
        again.close()
        assert values(list(read(tmp_path))) == [0, 1, 2, 3]
    for place in range(kept):
        whole.write_bytes(data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :])
        with pytest.raises(CorruptModel, match="damaged at byte 0"):
            Journal(tmp_path)


def test_a_disk_that_refuses_pauses_and_what_it_refused_is_not_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([examples(0)])
    size = files_of(tmp_path)[0].stat().st_size
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, limits[1]))
    try:
        with pytest.raises(Unavailable, match="predictions go on"):
            journal.append([examples(2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert values(list(read(tmp_path))) == [0, 1]
    assert journal.append([examples(2)]) == 2
    assert values(list(read(tmp_path))) == [0, 1, 2, 3]
    journal.close()


def test_old_files_before_the_start_are_not_opened(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes=1)
    for start in range(0, 10, 2):
        journal.append([examples(start)])
    journal.close()
    files = files_of(tmp_path)
    files[0].write_bytes(b"what stood here is of no use any more")
    for age, path in enumerate(reversed(files)):
        os.utime(path, (1000.0 - age, 1000.0 - age))
    assert values(list(read(tmp_path, start=6))) == [6, 7, 8, 9]
    assert values(list(read(tmp_path, start=6, since=997.0))) == [2, 3, 4, 5, 6, 7, 8, 9]
    with pytest.raises(CorruptModel):
        list(read(tmp_path, start=6, since=0.0))


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    Journal(tmp_path / "j").close()
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o700
    assert files_of(tmp_path / "j")[0].stat().st_mode & 0o777 == 0o600
    assert files_of(tmp_path / "j")[0].stat().st_size == 0
