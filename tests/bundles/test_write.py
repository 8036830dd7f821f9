import msgspec
import pytest

from servable.bundles import write
from servable.bundles.open import open_bundle
from servable.bundles.write import write_bundle
from servable.domain.bundle import MANIFEST
from servable.errors import BundleError, Conflict
from tests.packed import bundle_at


@pytest.fixture
def stated(tmp_path):
    return open_bundle(bundle_at(tmp_path / "source")).manifest


@pytest.fixture
def content(tmp_path, stated):
    return (tmp_path / "source" / "model.onnx").read_bytes()


def test_the_same_bytes_give_the_same_digest(tmp_path, stated, content):
    files = {"model.onnx": content, "more/notes.txt": b"deep"}
    made = [write_bundle(tmp_path / name, stated, files) for name in ("a", "b")]
    assert made[0].digest == made[1].digest == open_bundle(tmp_path / "a").digest
    assert [file.path for file in made[0].manifest.files] == ["model.onnx", "more/notes.txt"]
    other = write_bundle(tmp_path / "c", stated, {**files, "more/notes.txt": b"Deep"})
    assert other.digest != made[0].digest


def test_a_file_is_copied(tmp_path, stated):
    source = tmp_path / "source" / "model.onnx"
    made = write_bundle(tmp_path / "a", stated, {"model.onnx": source})
    assert (made.folder / "model.onnx").read_bytes() == source.read_bytes()


def test_by_digest_it_names_itself(tmp_path, stated, content):
    made = write_bundle(tmp_path / "store", stated, {"model.onnx": content}, by_digest=True)
    assert made.folder == tmp_path / "store" / made.digest
    again = write_bundle(tmp_path / "store", stated, {"model.onnx": content}, by_digest=True)
    assert again == made
    assert [path.name for path in (tmp_path / "store").iterdir()] == [made.digest]


def test_what_is_there_is_not_overwritten(tmp_path, stated, content):
    write_bundle(tmp_path / "a", stated, {"model.onnx": content})
    write_bundle(tmp_path / "a", stated, {"model.onnx": content})
    with pytest.raises(Conflict, match="exists already"):
        write_bundle(tmp_path / "a", msgspec.structs.replace(stated, name="other"), {"model.onnx": content})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("work")
    with pytest.raises(Conflict):
        write_bundle(tmp_path / "mine", stated, {"model.onnx": content})
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "work"
    (tmp_path / "empty").mkdir()
    assert write_bundle(tmp_path / "empty", stated, {"model.onnx": content}).folder == tmp_path / "empty"


@pytest.mark.parametrize("path", ["../out", "/etc/x", MANIFEST, "a/../../b"])
def test_no_file_leaves_the_folder(tmp_path, stated, path):
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "a", stated, {path: b"x"})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("failing", ["write_file", "sync"])
def test_an_interrupted_write_leaves_nothing(tmp_path, stated, content, failing, monkeypatch):
    target = tmp_path / "store" / "a"

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, failing, fail)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(target, stated, {"model.onnx": content})
    assert list(target.parent.iterdir()) == []


def test_everything_is_on_disk_before_the_name_is(tmp_path, stated, content, monkeypatch):
    steps = []
    monkeypatch.setattr(write.os, "fsync", lambda _: steps.append("sync"))
    rename = write.Path.rename
    monkeypatch.setattr(write.Path, "rename", lambda *names: steps.append("rename") or rename(*names))
    write_bundle(tmp_path / "a", stated, {"model.onnx": content})
    assert steps == ["sync", "sync", "sync", "rename", "sync"]  # model, manifest, their folder; then the parent
