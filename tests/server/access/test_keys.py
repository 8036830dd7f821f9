"""The file of keys: what is kept, that changes are durable and taken up, and that a weak or damaged file is refused."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from servable.errors import Conflict, EnvironmentFault, NotFound, UsageError
from servable.server.access.keys import Keys


def test_a_secret_is_strong_shown_once_and_not_kept(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    secret, key = keys.create("ada", ["invoker"])
    assert secret.startswith("sv_")
    assert len(secret) >= len("sv_") + 43
    kept = (tmp_path / "keys.json").read_text()
    assert secret not in kept
    assert secret.removeprefix("sv_") not in kept
    assert key.digest in kept
    assert keys.find(secret) == key
    assert len({keys.create(f"other-{n}", ["viewer"])[0] for n in range(50)}) == 50


@pytest.mark.parametrize("wrong", ["", "sv_", "sv_x", "\ud800", "x" * 100_000, "sv_\0"])
def test_another_secret_finds_nothing(tmp_path: Path, wrong: str) -> None:
    keys = Keys(tmp_path)
    secret, _ = keys.create("ada", ["invoker"])
    assert keys.find(wrong) is None
    assert keys.find(secret[:-1]) is None
    assert keys.find(secret + "A") is None


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    os.umask(0o000)
    try:
        Keys(home).create("ada", ["invoker"])
    finally:
        os.umask(0o022)
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()} == {
        "keys.json": 0o600,
        ".keys.json.lock": 0o600,
    }


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602, 0o666, 0o604, 0o777])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    Keys(tmp_path).create("ada", ["invoker"])
    (tmp_path / "keys.json").chmod(mode)
    with pytest.raises(EnvironmentFault, match="chmod 600"):
        Keys(tmp_path)


def test_a_mounted_secret_that_the_group_may_read_is_taken(tmp_path: Path) -> None:
    secret, _ = Keys(tmp_path).create("ada", ["invoker"])
    (tmp_path / "keys.json").chmod(0o440)
    assert Keys(tmp_path).find(secret) is not None


def test_another_process_takes_up_what_changed(tmp_path: Path) -> None:
    writer, reader = Keys(tmp_path), Keys(tmp_path)
    assert not reader.refresh()
    secret, key = writer.create("ada", ["invoker"])
    assert reader.find(secret) is None
    assert reader.refresh()
    assert reader.find(secret) == key
    assert not reader.refresh()
    writer.revoke("ada")
    assert reader.refresh()
    assert reader.find(secret) is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"keys": [{"id": 1}]}', b"\xff\xfe", b"null"])
def test_a_damaged_file_stops_a_start_and_not_a_running_door(tmp_path: Path, damage: bytes) -> None:
    running = Keys(tmp_path)
    secret, _ = running.create("ada", ["invoker"])
    (tmp_path / "keys.json").write_bytes(damage)
    running.refresh()
    assert running.find(secret) is not None
    with pytest.raises(EnvironmentFault, match=r"keys\.json is damaged"):
        Keys(tmp_path)


def test_a_file_made_weak_is_not_taken_up(tmp_path: Path) -> None:
    running = Keys(tmp_path)
    secret, _ = running.create("ada", ["viewer"])
    stranger = json.loads((tmp_path / "keys.json").read_text())
    stranger["keys"][0]["roles"] = ["admin"]
    (tmp_path / "keys.json").write_text(json.dumps(stranger))
    (tmp_path / "keys.json").chmod(0o666)
    assert not running.refresh()
    found = running.find(secret)
    assert found is not None
    assert found.roles == ("viewer",)


def test_a_file_taken_away_takes_its_keys_with_it(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    secret, _ = keys.create("ada", ["viewer"])
    (tmp_path / "keys.json").unlink()
    assert keys.refresh()
    assert keys.find(secret) is None


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / ".keys.json.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EnvironmentFault):
        Keys(tmp_path).create("ada", ["viewer"])
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_a_key_expires(tmp_path: Path) -> None:
    clock = [1000.0]
    keys = Keys(tmp_path, lambda: clock[0])
    secret, _ = keys.create("ada", ["viewer"], expires=1010.0)
    generation = keys.generation
    assert not keys.refresh()
    clock[0] = 1010.0
    assert keys.find(secret) is None
    assert keys.alive == 0
    assert keys.refresh()
    assert keys.generation > generation
    assert [key.name for key in keys.on_file()] == ["ada"]


def test_names_are_unique_and_mistakes_are_told(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    _, key = keys.create("ada", ["viewer"])
    with pytest.raises(Conflict, match="revoke it first"):
        keys.create("ada", ["viewer"])
    for name, roles, models in [
        ("", ["viewer"], ["*"]), ("a\nb", ["viewer"], ["*"]), ("x" * 129, ["viewer"], ["*"]), ("x", [], ["*"]),
        ("x", ["root"], ["*"]), ("x", ["viewer"], []), ("x", ["viewer"], [""]),
    ]:  # fmt: skip
        with pytest.raises(UsageError):
            keys.create(name, roles, models)
    with pytest.raises(NotFound, match=r"there are: .*ada"):
        keys.revoke("bob")
    assert keys.revoke(key.id) == key


def _create(home: Path, start: int) -> None:
    keys = Keys(home)
    for number in range(start, start + 10):
        keys.create(f"key-{number}", ["viewer"])


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_create, args=(tmp_path, start)) for start in (0, 10, 20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert {key.name for key in Keys(tmp_path).on_file()} == {f"key-{number}" for number in range(30)}
    assert not list(tmp_path.glob(".keys.json.[0-9]*"))
