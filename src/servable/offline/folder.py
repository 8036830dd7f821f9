"""The folder of a job, `<home>/offline/jobs/<name>/`: what it is, which parts are done, what became of it.

One job of a name at a time: a lock, which the kernel takes back from the dead. What a job that died has done is there
for `--resume`; what a finished one leaves is its verdict and the rows without an answer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO, Final, Self

import msgspec

from servable.domain.verdict import Verdict
from servable.errors import Conflict, EnvironmentFault, UsageError
from servable.offline.order import Scored
from servable.offline.scorer import ANSWERS, REJECTED, REPORTS
from servable.offline.whole import Lines, disk, write_whole
from servable.stores.tables.generation import demand_name

JOBS: Final = "offline/jobs"
SPEC: Final = "job.json"
VERDICT: Final = "verdict.json"
GENERATION: Final = "generation.json"
INPUT: Final = "input"
REJECTED_FILE: Final = "rejected.jsonl"
_WORK: Final = (ANSWERS, REPORTS, REJECTED)


class Spec(msgspec.Struct, frozen=True):
    """All that decides a job's results. Two jobs with equal ones give equal bytes. No password is in it."""

    model: str
    version: str
    digest: str
    source: str
    key: str
    table: str
    output: str
    duplicates: str
    columns: tuple[str, ...] | None = None
    started: float = 0.0


class Folder:
    """A job's folder, held by this process until `close`."""

    def __init__(self, home: Path, name: str) -> None:
        self.path = home / JOBS / demand_name(name)
        with disk(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(self.path, name)

    def begin(self, spec: Spec, *, resume: bool) -> Spec:
        """Take up the job that was left, or start anew. Raises UsageError where another job was left."""
        path = self.path / SPEC
        left = msgspec.json.decode(path.read_bytes(), type=Spec) if path.exists() else None
        if resume and left is not None and not (self.path / VERDICT).exists():
            told = [name for name in spec.__struct_fields__[:-1] if getattr(spec, name) != getattr(left, name)]
            if told:
                raise UsageError(
                    f"cannot go on with the job that was left in {self.path}: it had another {', '.join(told)}; run it "
                    "without --resume to start anew"
                )
            return left
        self.clear()
        (self.path / VERDICT).unlink(missing_ok=True)
        write_whole(path, msgspec.json.encode(spec))
        return spec

    def finished(self, spec: Spec) -> Verdict | None:
        """The verdict of the same job, if it was brought to its end."""
        if not (self.path / VERDICT).exists() or not (self.path / SPEC).exists():
            return None
        done = msgspec.json.decode((self.path / SPEC).read_bytes(), type=Spec)
        same = msgspec.structs.replace(done, started=0.0) == msgspec.structs.replace(spec, started=0.0)
        return msgspec.json.decode((self.path / VERDICT).read_bytes(), type=Verdict) if same else None

    def done(self) -> dict[int, Scored]:
        """The parts that are done, with every byte of their files there."""
        found = {}
        for path in sorted((self.path / REPORTS).glob("*.json")):
            scored = msgspec.json.decode(path.read_bytes(), type=Scored)
            if all(_size(Path(file)) == size for file, size in scored.files.items()):
                found[scored.number] = scored
        return found

    def answers(self, part: int) -> Path:
        """Where the answers of a part are, if it has any."""
        return self.path / ANSWERS / f"{part:06d}.arrow"

    def gather_rejected(self, parts: int) -> int:
        """All rows without an answer, in one file, in the order of the input; how many."""
        count = 0
        with Lines(self.path / REJECTED_FILE) as whole:
            for number in range(parts):
                part = self.path / REJECTED / f"{number:06d}.jsonl"
                for line in part.read_bytes().splitlines() if part.exists() else ():
                    whole.write(msgspec.Raw(line))
                    count += 1
            if count:
                whole.finish()
            else:
                whole.path.unlink(missing_ok=True)
        return count

    def end(self, verdict: Verdict) -> None:
        """Write the verdict down, and remove what only a job under way needs."""
        write_whole(self.path / VERDICT, msgspec.json.encode(verdict))
        self.clear()
        shutil.rmtree(self.path / INPUT, ignore_errors=True)

    def clear(self) -> None:
        """Remove all work; not the rows of a query, which may just have come."""
        for name in _WORK:
            shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / GENERATION).unlink(missing_ok=True)

    def close(self) -> None:
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _locked(path: Path, name: str) -> IO[bytes]:
    try:
        file = os.fdopen(os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb+")
    except OSError as error:
        raise EnvironmentFault(f"cannot write in {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise Conflict(f"a job for {name!r} is under way: wait until it has ended") from error
    return file


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
