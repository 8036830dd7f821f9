"""An export takes signed updates, whole or not at all, keeps the one before, and goes back where one fails: in Node."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from servable.edge.publish import publish
from servable.errors import CheckFailed, UnsignedModel, UsageError
from tests.cli.command import servable
from tests.e2e.serving import eventually
from tests.edge.updating import UPDATED, Publisher, in_node, key_at, killed

pytestmark = pytest.mark.timeout(300)


def test_an_update_is_taken_kept_and_used_from_then_on(publisher: Publisher, tmp_path: Path) -> None:
    one, keep = publisher.export("1"), tmp_path / "keep"
    assert in_node(one, keep, UPDATED)[:2] == ["unreachable", "1"]
    publisher.publish(publisher.export("2"))
    assert in_node(one, keep, UPDATED)[:2] == ["installed", "2"]
    publisher.publish(publisher.export("3"))
    assert in_node(one, keep, UPDATED)[:2] == ["installed", "3"]
    editions = sorted(path.name for path in keep.iterdir() if path.is_dir())
    assert len(editions) == 2  # the one before is kept, and no more
    told = in_node(one, keep, "model.rollback().then(async () => [model.contract.version, model.state.update])")
    assert told == ["2", "rolled-back"]
    assert in_node(one, keep, UPDATED)[:2] == ["rejected", "2"]  # what was left is not taken again


def test_what_no_trusted_key_signed_is_not_taken(publisher: Publisher, tmp_path: Path) -> None:
    one, two = publisher.export("1"), publisher.export("2")
    publisher.publish(two)
    manifest = publisher.updates / "update.json"
    good = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps(good | {"update": good["update"].replace('"version":"2"', '"version":"3"')}))
    assert in_node(one, tmp_path / "a", UPDATED)[:2] == ["forged", "1"]
    manifest.unlink()
    stranger = key_at(tmp_path / "other.pem")
    with pytest.raises(UsageError, match="devices would take nothing that it signs"):
        publish(publisher.updates, stranger, two, unproven=True)
    manifest.write_text("<html>not found</html>")
    assert in_node(one, tmp_path / "b", UPDATED)[:2] == ["damaged", "1"]
    manifest.write_text(json.dumps(good))
    with pytest.raises(UnsignedModel, match="is not signed by the key"):
        publish(publisher.updates, stranger, withdrawn={"1": "no"})


@pytest.mark.faults
def test_an_older_update_is_not_taken_again(publisher: Publisher, tmp_path: Path) -> None:
    one, keep = publisher.export("1"), tmp_path / "keep"
    publisher.publish(publisher.export("2"))
    older = (publisher.updates / "update.json").read_bytes()
    publisher.publish(publisher.export("3"))
    assert in_node(one, keep, UPDATED)[:2] == ["installed", "3"]
    (publisher.updates / "update.json").write_bytes(older)
    assert in_node(one, keep, UPDATED)[:2] == ["stale", "3"]


@pytest.mark.faults
def test_a_file_that_was_changed_on_its_way_is_fetched_again_and_the_rest_is_not(
    publisher: Publisher, tmp_path: Path
) -> None:
    one, two, keep = publisher.export("1"), publisher.export("2"), tmp_path / "keep"
    update = publisher.publish(two)
    model = publisher.updates / "files" / update.files["model.onnx"].sha256
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    state, version, message = in_node(one, keep, UPDATED)
    assert (state, version) == ("damaged", "1")
    assert "its model.onnx was cut off or changed on its way" in message
    assert (keep / f"{update.sequence}.incoming" / "contract.json").exists()
    model.write_bytes(whole)
    (publisher.updates / "files" / update.files["contract.json"].sha256).unlink()  # it came before
    assert in_node(one, keep, UPDATED)[:2] == ["installed", "2"]


def test_an_edition_that_answers_otherwise_on_the_device_is_not_used(publisher: Publisher, tmp_path: Path) -> None:
    one, keep = publisher.export("1"), tmp_path / "keep"
    golden = json.loads((one / "golden.json").read_bytes())
    answered = next(told for told in golden["told"] if "rows" in told)
    answered["rows"][0]["prediction"] += 1
    publisher.publish(publisher.changed("2", "golden.json", tmp_path, told=golden["told"]))
    state, version, message = in_node(one, keep, UPDATED)
    assert (state, version) == ("rejected", "1")
    assert "version 2 is not taken: it answers otherwise on this device" in message
    again = "version 2 failed on this device before, and is not tried again"
    assert in_node(one, keep, UPDATED) == ["rejected", "1", again]
    assert not [path for path in keep.iterdir() if path.is_dir()]


@pytest.mark.faults
def test_a_program_that_is_killed_in_the_middle_of_an_update_goes_on_as_it_was(
    publisher: Publisher, tmp_path: Path
) -> None:
    one, keep = publisher.export("1"), tmp_path / "keep"
    update = publisher.publish(publisher.export("2"))
    model = publisher.updates / "files" / update.files["model.onnx"].sha256
    whole = model.read_bytes()
    model.unlink()
    os.mkfifo(model)  # it begins, and never ends
    with killed(one, keep):
        eventually((keep / f"{update.sequence}.incoming" / "contract.json").exists)
    os.close(os.open(model, os.O_RDWR))  # lets the server go
    model.unlink()
    assert in_node(one, keep, "model.contract.version") == "1"
    model.write_bytes(whole)
    assert in_node(one, keep, UPDATED)[:2] == ["installed", "2"]


@pytest.mark.faults
def test_a_kept_edition_that_cannot_be_used_gives_way_to_the_one_before(publisher: Publisher, tmp_path: Path) -> None:
    one, keep = publisher.export("1"), tmp_path / "keep"
    for version in ("2", "3"):
        last = publisher.publish(publisher.export(version))
        assert in_node(one, keep, UPDATED)[:2] == ["installed", version]
    (keep / str(last.sequence) / "model.onnx").write_bytes(b"rotten")
    assert in_node(one, keep, "[model.contract.version, model.state.update]") == ["2", "rolled-back"]
    assert in_node(one, keep, UPDATED)[:2] == ["installed", "3"]  # it was the disk: fetched anew, it is well


@pytest.mark.faults
def test_a_version_is_withdrawn_and_restored(publisher: Publisher, tmp_path: Path) -> None:
    one, keep = publisher.export("1"), tmp_path / "keep"
    two = publisher.export("2")
    publisher.publish(two)
    assert in_node(one, keep, UPDATED)[:2] == ["installed", "2"]
    publisher.publish(withdrawn={"2": "wrong for the young"})
    asked = "model.update().then(() => model.predict([row])).catch((error) => [error.code, error.message])"
    assert in_node(one, keep, asked) == ["unavailable", "version 2 of 'loan' was withdrawn: wrong for the young"]
    shutil.move(publisher.updates, tmp_path / "away")
    assert in_node(one, keep, asked)[0] == "unavailable"  # it is remembered
    shutil.move(tmp_path / "away", publisher.updates)
    assert in_node(one, tmp_path / "new", UPDATED)[:2] == ["withdrawn", "1"]
    with pytest.raises(UsageError, match="--restore 2"):
        publisher.publish(two)
    publisher.publish(restored=["2"])
    assert in_node(one, keep, UPDATED)[:2] == ["current", "2"]


@pytest.mark.faults
def test_without_news_for_too_long_it_stops_and_goes_on_with_them(publisher: Publisher, tmp_path: Path) -> None:
    one, keep = tmp_path / "web", tmp_path / "keep"
    shutil.copytree(publisher.export("1"), one)
    settings = one / "settings.js"
    settings.write_text(settings.read_text().replace('"grace_s":null', '"grace_s":604800'))
    publisher.publish(publisher.export("2"))
    assert in_node(one, keep, UPDATED)[:2] == ["installed", "2"]
    state = json.loads((keep / "state.json").read_bytes())
    week = 7.1 * 86_400_000
    (keep / "state.json").write_text(json.dumps(state | {name: state[name] - week for name in ("checked", "first")}))
    asked = "model.predict([row]).catch((error) => error.message)"
    assert in_node(one, keep, asked) == (
        "'loan' may answer for 7 days without news from its publisher, and had none for 7.1 days: connect once"
    )
    assert in_node(one, keep, UPDATED)[:2] == ["current", "2"]


def test_what_nobody_proved_or_waits_for_is_not_published(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="exported with --no-proof"):
        publish(publisher.updates, publisher.key, publisher.export("1"))
    with pytest.raises(UsageError, match="holds no updates yet"):
        publisher.publish()
    with pytest.raises(UsageError, match="is no folder that `servable export` made"):
        publisher.publish(tmp_path)
    assert not publisher.updates.exists()


def test_the_commands_say_what_they_need(packed: Path, tmp_path: Path) -> None:
    told = servable("export", packed, "--output", tmp_path / "web", "--updates", "https://example.com/churn")
    assert told.code == 2
    assert "name a public key with --trust" in told.err
    told = servable("export", packed, "--output", tmp_path / "web", "--grace-days", "7")
    assert "add --updates URL" in told.err
    key = key_at(tmp_path / "key.pem")
    told = servable("publish", "--to", tmp_path / "updates", "--sign", key, "--withdraw", "3")
    assert told.code == 2
    assert "expected VERSION=REASON" in told.err
