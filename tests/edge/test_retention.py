"""A folder of updates keeps what devices may ask for, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from servable.edge.program.signed import File, Update
from servable.edge.retention import FIELD_S, prune, spent
from servable.errors import EnvironmentFault, UsageError
from tests.cli.command import servable
from tests.edge.updating import UPDATED, Publisher, in_node

DAY_MS = FIELD_S * 1000
pytestmark = pytest.mark.timeout(300)


def updates(*days: float) -> list[Update]:
    """An edition on each of these days."""
    return [Update("m", str(day), int(day * DAY_MS), {"model": File(1, str(day))}) for day in days]


@pytest.mark.parametrize(
    ("days", "keep", "now", "gone"),
    [
        ((1,), 1, 100, []),
        ((1, 2, 3, 4), 3, 100, [1]),
        ((1, 2, 3, 4), 1, 100, [1, 2, 3]),
        ((1, 2, 3, 4), 1, 4.5, [1, 2]),  # the third was the newest until half a day ago
        ((1, 2, 3.9, 4), 1, 4.5, [1]),
        ((1, 3.9, 3.95, 4), 1, 4.5, []),
    ],
)
def test_what_nobody_asks_for(days: tuple[float, ...], keep: int, now: float, gone: list[int]) -> None:
    assert spent(updates(*days), keep, int(now * DAY_MS)) == {day * DAY_MS for day in gone}


def test_a_version_that_was_withdrawn_is_no_edition_more() -> None:
    one, two = updates(1, 2)
    again = Update("m", "2", 3 * DAY_MS, two.files, disabled={"1": "wrong"})
    assert spent([one, two, again], 2, 100 * DAY_MS) == set()
    assert spent([one, two, again], 1, 100 * DAY_MS) == {DAY_MS}


def files(publisher: Publisher) -> set[str]:
    return {path.name for path in (publisher.updates / "files").iterdir()}


def test_old_editions_go_and_what_the_manifest_names_stays(publisher: Publisher, tmp_path: Path) -> None:
    made = [publisher.publish(publisher.export(version)) for version in ("1", "2", "3")]
    digests = [{file.sha256 for file in update.files.values()} for update in made]
    assert prune(publisher.updates, 1) == (0, 0)  # a device may be in the middle of taking one of them
    later = made[-1].sequence + 2 * DAY_MS
    left_over = publisher.updates / "files" / ".half-of-a-file"
    left_over.write_bytes(b"half")
    assert prune(publisher.updates, 2, later)[0] == len(digests[0] - digests[1] - digests[2]) + 1
    assert files(publisher) == digests[1] | digests[2]
    assert prune(publisher.updates, 1, later)[1] > 0
    assert files(publisher) == digests[2]
    assert in_node(publisher.export("1"), tmp_path / "keep", UPDATED)[:2] == ["installed", "3"]
    with pytest.raises(UsageError, match="--keep is 0"):
        prune(publisher.updates, 0)
    (publisher.updates / "past" / "1.json").write_text("{}")
    with pytest.raises(EnvironmentFault, match=r"1.json cannot be read"):
        prune(publisher.updates, 1, later)


def test_the_command_tells_what_it_removed(publisher: Publisher) -> None:
    for version in ("1", "2"):
        publisher.publish(publisher.export(version))
    for path in (publisher.updates / "files").iterdir():
        os.utime(path, (0, 0))
    (publisher.updates / "files" / "of-nobody").write_bytes(b"old")
    os.utime(publisher.updates / "files" / "of-nobody", (0, 0))
    told = servable(
        "publish", publisher.export("3"), "--to", publisher.updates, "--sign", publisher.key, "--unproven", "--keep", 1
    )
    assert told.code == 0, told
    assert "removed 1 files of editions that no device asks for any more: 3 bytes" in told.err
    assert servable("publish", "--to", publisher.updates, "--sign", publisher.key, "--keep", 0).code == 2
