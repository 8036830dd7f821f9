"""A program for desktops takes signed updates, whole or not at all, keeps the one before, goes back if one fails."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from servable.bundles.signatures import signed
from servable.edge.bare_python import bare_python
from servable.edge.export import export
from servable.edge.life import life_of
from servable.edge.program.ed25519 import holds
from servable.edge.program.signed import Update
from servable.edge.publish import publish
from servable.errors import UsageError
from tests.e2e.serving import Serving, eventually
from tests.edge.updating import Publisher, key_at

pytestmark = pytest.mark.timeout(300)
ROW = {"age": 40, "income": 2500, "city": "north", "kind": "a"}


def test_signatures_are_those_of_the_library() -> None:
    for length in range(8):
        key, said = Ed25519PrivateKey.generate(), b"x" * length
        public, mark = key.public_key().public_bytes_raw(), key.sign(said)
        assert holds(public, mark, said)
        assert not holds(public, mark, said + b"y")
        assert not holds(public, mark[:32] + bytes([mark[32] ^ 1]) + mark[33:], said)
        assert not holds(bytes(32), mark, said)
        assert not holds(public, mark[:63], said)


class Desk(NamedTuple):
    """A publisher of programs, and a Python that has onnxruntime and nothing else."""

    world: Publisher
    python: list[str]
    environment: dict[str, str]

    @property
    def updates(self) -> Path:
        return self.world.root / "desk-updates"

    def export(self, version: str, **more: Any) -> Path:
        folder = self.world.root / f"desk{version}{'-'.join(more)}"
        if not folder.exists():
            life = life_of(f"{self.world.url}desk-updates", [signed(b"", self.world.key)[0]], **more)
            export(self.world.predictor, version, folder, target="desktop", proof=False, life=life)
        return folder

    def publish(self, folder: Path | None = None, **more: Any) -> Update:
        return publish(self.updates, self.world.key, folder, unproven=True, **more)

    def ran(self, folder: Path, keep: Path, *words: object) -> subprocess.CompletedProcess[str]:
        command = [*self.python, folder / "app.pyz", "--keep", keep, *words]
        return subprocess.run(
            list(map(str, command)), env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )

    def update(self, folder: Path, keep: Path, word: str = "update") -> tuple[str, str, str]:
        done = self.ran(folder, keep, word)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        return told["update"], told["version"], told["message"]


@pytest.fixture(scope="module")
def desk(world: Publisher) -> Iterator[Desk]:
    with bare_python() as (python, environment):
        yield Desk(world, python, environment)


@pytest.fixture(autouse=True)
def nothing_published(desk: Desk) -> None:
    for path in desk.updates.glob("*.json"):
        path.unlink()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows.json").write_text(json.dumps([ROW]))
    return tmp_path / "rows.json"


def changed(folder: Path, place: Path, name: str, data: bytes) -> Path:
    """An export of which a file in the archive is another one."""
    place.mkdir()
    (place / "parity.json").write_bytes((folder / "parity.json").read_bytes())
    with zipfile.ZipFile(folder / "app.pyz") as good, zipfile.ZipFile(place / "app.pyz", "w") as bad:
        for each in good.namelist():
            bad.writestr(each, data if each == f"model/{name}" else good.read(each))
    return place


def test_an_update_is_taken_kept_and_left_again(desk: Desk, tmp_path: Path) -> None:
    one, keep = desk.export("1"), tmp_path / "keep"
    assert desk.update(one, keep)[:2] == ("unreachable", "1")
    desk.publish(desk.export("2"))
    assert desk.update(one, keep)[:2] == ("installed", "2")
    assert json.loads(desk.ran(one, keep, "show").stdout)["versions"] == ["2"]
    assert desk.update(one, keep)[:2] == ("current", "2")
    assert desk.update(one, keep, "rollback")[:2] == ("rolled-back", "1")
    assert desk.update(one, keep)[:2] == ("rejected", "1")  # what was left is not taken again
    told = desk.ran(changed(one, tmp_path / "x", "none", b""), tmp_path / "file", "update")
    assert told.returncode == 0


def test_what_no_trusted_key_signed_or_was_changed_is_not_taken(desk: Desk, tmp_path: Path) -> None:
    one, two = desk.export("1"), desk.export("2")
    update = desk.publish(two)
    manifest = desk.updates / "update.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good.replace(b'\\"version\\":\\"2\\"', b'\\"version\\":\\"3\\"'))
    assert desk.update(one, tmp_path / "a")[:2] == ("forged", "1")
    manifest.write_text("<html>not found</html>")
    assert desk.update(one, tmp_path / "a")[:2] == ("damaged", "1")
    manifest.write_bytes(good)
    facts = desk.updates / "files" / update.files["facts.json"].sha256
    whole = facts.read_bytes()
    facts.write_bytes(whole[:-1])
    state, version, message = desk.update(one, tmp_path / "a")
    assert (state, version) == ("damaged", "1")
    assert "its facts.json was cut off or changed on its way" in message
    facts.write_bytes(whole)
    assert desk.update(one, tmp_path / "a")[:2] == ("installed", "2")
    with pytest.raises(UsageError, match="devices would take nothing that it signs"):
        publish(tmp_path / "elsewhere", key_at(tmp_path / "other.pem"), two, unproven=True)


@pytest.mark.faults
def test_an_edition_that_answers_otherwise_on_this_machine_is_not_used(desk: Desk, tmp_path: Path) -> None:
    one, two, keep = desk.export("1"), desk.export("2"), tmp_path / "keep"
    with zipfile.ZipFile(two / "app.pyz") as archive:
        files = {name: archive.read(f"model/{name}") for name in ("golden.json", "facts.json")}
    golden = json.loads(files["golden.json"])
    outputs = golden["outputs"]["prediction"]
    (key,) = (name for name, value in outputs.items() if isinstance(value, list) and name != "shape")
    outputs[key] = [value + 1 for value in outputs[key]]
    data = json.dumps(golden).encode()
    facts = json.loads(files["facts.json"])
    for file in facts["manifest"]["files"]:
        if file["path"] == "golden.json":
            file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    bad = changed(two, tmp_path / "golden", "golden.json", data)
    bad = changed(bad, tmp_path / "facts", "facts.json", json.dumps(facts).encode())
    desk.publish(bad)
    state, version, message = desk.update(one, keep)
    assert (state, version) == ("rejected", "1")
    assert "version 2 is not taken" in message
    again = "version 2 failed on this machine before, and is not tried again"
    assert desk.update(one, keep) == ("rejected", "1", again)
    assert not [path for path in keep.iterdir() if path.is_dir()]


@pytest.mark.faults
def test_a_kept_edition_that_cannot_be_used_gives_way_to_the_one_before(desk: Desk, tmp_path: Path) -> None:
    one, keep = desk.export("1"), tmp_path / "keep"
    for version in ("2", "3"):
        last = desk.publish(desk.export(version))
        assert desk.update(one, keep)[:2] == ("installed", version)
    assert len([path for path in keep.iterdir() if path.is_dir()]) == 2
    (keep / str(last.sequence) / "model.onnx").write_bytes(b"rotten")
    assert json.loads(desk.ran(one, keep, "show").stdout)["versions"] == ["2"]
    assert desk.update(one, keep)[:2] == ("installed", "3")  # it was the disk: fetched anew, it is well


@pytest.mark.faults
def test_what_came_before_an_interruption_is_used(desk: Desk, tmp_path: Path) -> None:
    one, keep = desk.export("1"), tmp_path / "keep"
    update = desk.publish(desk.export("2"))
    facts = desk.updates / "files" / update.files["facts.json"].sha256
    whole = facts.read_bytes()
    facts.unlink()
    assert desk.update(one, keep)[:2] == ("unreachable", "1")
    incoming = keep / f"{update.sequence}.incoming"
    came = sorted(path.name for path in incoming.iterdir()) if incoming.exists() else []
    assert json.loads(desk.ran(one, keep, "show").stdout)["versions"] == ["1"]
    facts.write_bytes(whole)
    assert desk.update(one, keep)[:2] == ("installed", "2")
    assert set(came) < {path.name for path in (keep / str(update.sequence)).iterdir()}


@pytest.mark.faults
def test_a_withdrawn_version_stops_or_asks_the_server(
    desk: Desk, packed: Path, tmp_path: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, keep = desk.export("1"), tmp_path / "keep"
    desk.publish(desk.export("2"))
    assert desk.update(one, keep)[:2] == ("installed", "2")
    desk.publish(withdrawn={"2": "wrong for the young"})
    assert desk.update(one, keep)[0] == "withdrawn"
    told = desk.ran(one, keep, "predict", "--input", rows)
    assert (told.returncode, told.stderr) == (1, "error: version 2 of 'loan' was withdrawn: wrong for the young\n")
    with Serving(tmp_path_factory.mktemp("server"), packed, workers=1) as server:
        asks = desk.export("1", server=f"http://127.0.0.1:{server.ready().port}")
        desk.publish(withdrawn={"1": "wrong for the old"})
        other = tmp_path / "other"
        assert desk.update(asks, other)[0] == "withdrawn"
        told = desk.ran(asks, other, "predict", "--input", rows)
        assert "prediction" in json.loads(told.stdout)
    told = desk.ran(asks, other, "predict", "--input", rows)
    assert "the server that would answer in place of this machine cannot be reached" in told.stderr
    desk.publish(restored=["2"])
    assert desk.update(one, keep)[:2] == ("current", "2")


@pytest.mark.faults
def test_without_news_for_too_long_it_stops(desk: Desk, tmp_path: Path, rows: Path) -> None:
    one, keep = desk.export("1", grace_days=7), tmp_path / "keep"
    desk.publish(desk.export("2"))
    assert desk.update(one, keep)[:2] == ("installed", "2")
    state = json.loads((keep / "state.json").read_bytes())
    week = 7.1 * 86_400
    (keep / "state.json").write_text(json.dumps(state | {name: state[name] - week for name in ("checked", "first")}))
    (desk.updates / "update.json").unlink()
    told = desk.ran(one, keep, "predict", "--input", rows)
    assert told.returncode == 1
    assert "may answer for 7 days without news from its publisher, and had none for 7.1 days" in told.stderr


@pytest.mark.faults
def test_a_port_takes_an_update_while_it_answers(desk: Desk, tmp_path: Path) -> None:
    one = desk.export("1")
    desk.publish(desk.export("2"))
    command = [*desk.python, one / "app.pyz", "--keep", tmp_path / "keep", "serve", "--port", "0"]
    with subprocess.Popen(command, env=desk.environment, stdout=subprocess.PIPE, text=True) as door:
        assert door.stdout is not None
        url = door.stdout.readline().strip()

        def version() -> str:
            request = urllib.request.Request(f"{url}/v2/models/loan/infer", json.dumps({"rows": [ROW]}).encode())
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(json.load(answer)["model_version"])

        try:
            eventually(lambda: version() == "2", "the update to be taken")
        finally:
            door.send_signal(signal.SIGTERM)
            assert door.wait(timeout=60) == 0


def test_a_folder_of_updates_is_of_one_target(desk: Desk, world: Publisher, tmp_path: Path) -> None:
    desk.publish(desk.export("1"))
    with pytest.raises(UsageError, match="holds updates of another target"):
        publish(desk.updates, world.key, world.export("1"), unproven=True)
    plain = desk.ran(desk.export("1"), tmp_path / "keep", "rollback")
    assert json.loads(plain.stdout)["update"] == "unknown"
