"""Bundles as they arrive: whole, cut, flipped, with too much or too little in them, and leading out of their folder."""

import contextlib
import os
import random
import shutil
from pathlib import Path

import msgspec
import pytest

import servable
from servable.bundles.bare import name_from
from servable.bundles.digest import of_bytes
from servable.bundles.manifest import dumps, loads
from servable.bundles.open import open_bundle
from servable.domain.bundle import MANIFEST, File
from servable.errors import BundleError, DigestMismatch, UnknownFormat
from servable.runtimes.find import runtime
from tests.packed import bundle_at, scaler


@pytest.fixture
def folder(tmp_path):
    return bundle_at(tmp_path / "bundle")


def restated(folder, **changes):
    stated = loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(dumps(msgspec.structs.replace(stated, **changes)))
    return folder


def test_a_bundle_is_what_its_manifest_says(folder):
    bundle = open_bundle(folder)
    assert (bundle.name, bundle.manifest.format, bundle.inferred) == ("scaler", "onnx", False)
    assert bundle.digest == of_bytes((folder / MANIFEST).read_bytes())
    assert bundle.model_path == folder / "model.onnx"


def test_another_name_changes_neither_files_nor_digest(folder):
    bundle = open_bundle(folder, name="other")
    assert (bundle.name, bundle.digest) == ("other", open_bundle(folder).digest)
    with pytest.raises(BundleError, match="no name for a model"):
        open_bundle(folder, name="../other")


def test_a_flipped_bit_is_found_at_any_place_before_anything_is_parsed(folder):
    path = folder / "model.onnx"
    raw = path.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        at, bit = rng.randrange(len(raw)), rng.randrange(8)
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
        with pytest.raises(DigestMismatch, match=r"model\.onnx"):
            open_bundle(folder)
    path.write_bytes(raw)
    assert open_bundle(folder).name == "scaler"


def test_a_flipped_bit_in_the_manifest_changes_the_digest_or_is_refused(folder):
    path = folder / MANIFEST
    raw = path.read_bytes()
    known = open_bundle(folder).digest
    rng = random.Random(1)
    for _ in range(200):
        at, bit = rng.randrange(len(raw)), rng.randrange(8)
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
        with contextlib.suppress(BundleError):
            assert open_bundle(folder).digest != known


@pytest.mark.parametrize("name", ["model.onnx", MANIFEST])
def test_a_file_cut_anywhere_is_refused(folder, name):
    raw = (folder / name).read_bytes()
    for share in range(0, 100, 5):
        (folder / name).write_bytes(raw[: len(raw) * share // 100])
        with pytest.raises(BundleError):
            open_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>not found</html>"])
def test_another_content_under_the_name_is_refused(folder, content):
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(DigestMismatch):
        open_bundle(folder)


def test_a_file_changed_between_opening_and_loading_is_refused(folder):
    bundle = open_bundle(folder)
    scaler(folder / "model.onnx", 3.0)
    with pytest.raises(DigestMismatch):
        runtime("onnx").load(bundle)


def test_a_missing_file_is_named(folder):
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"missing: model\.onnx"):
        open_bundle(folder)


def test_an_extra_file_is_named(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "evil.so").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"not in its manifest: deep/evil\.so"):
        open_bundle(folder)


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/hostname", "a/../model.onnx", "..\\m", "./model.onnx", "a//b"])
def test_a_path_out_of_the_folder_is_refused(folder, path):
    restated(folder, files=(File(path, 1, "00" * 32),))
    with pytest.raises(BundleError, match="plain path inside"):
        open_bundle(folder)


def test_a_file_listed_twice_is_refused(folder):
    files = loads((folder / MANIFEST).read_bytes()).files
    with pytest.raises(BundleError, match="twice"):
        open_bundle(restated(folder, files=files * 2))


@pytest.mark.parametrize("change", [{"model": "../secret"}, {"model": "other.onnx"}, {"golden": "/etc/hostname"}])
def test_a_model_or_golden_file_that_is_not_listed_is_refused(folder, change):
    with pytest.raises(BundleError, match="not among its files"):
        open_bundle(restated(folder, **change))


def test_links_are_refused(folder, tmp_path):
    shutil.move(folder / "model.onnx", tmp_path / "outside.onnx")
    (folder / "model.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(BundleError, match="symbolic link"):
        open_bundle(folder)


def test_a_linked_folder_inside_is_refused(folder, tmp_path):
    (folder / "more").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BundleError, match="symbolic link"):
        open_bundle(folder)


def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(folder)


def test_the_folder_itself_may_be_reached_by_a_link(folder, tmp_path):
    """Kubernetes mounts volumes so."""
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert open_bundle(tmp_path / "link").name == "scaler"


def test_an_unknown_format_is_refused(folder):
    with pytest.raises(UnknownFormat, match="'caffe'"):
        open_bundle(restated(folder, format="caffe"))


def test_a_wrong_name_is_refused(folder):
    with pytest.raises(BundleError, match="name"):
        open_bundle(restated(folder, name="a/b"))


def test_a_bare_file_is_a_bundle_of_its_stem(tmp_path):
    path = scaler(tmp_path / "my scaler (2).onnx")
    (tmp_path / "unrelated.txt").write_text("x")
    bundle = open_bundle(path)
    assert (bundle.name, bundle.inferred) == ("my-scaler--2-", True)
    assert [file.path for file in bundle.manifest.files] == [path.name]
    assert open_bundle(path).digest == bundle.digest
    assert open_bundle(path, name="scaler").name == "scaler"


@pytest.mark.parametrize(
    ("stem", "name"),
    [("iris", "iris"), ("a b", "a-b"), ("_x", "m_x"), ("größe", "gr--e"), ("", "m"), ("x" * 200, "x" * 128)],
)
def test_a_stem_becomes_a_name(stem, name):
    assert name_from(stem) == name


def test_a_folder_with_one_model_in_it_is_that_model(tmp_path):
    scaler(tmp_path / "model.onnx")
    (tmp_path / "README.md").write_text("# read me")
    assert open_bundle(tmp_path, name="scaler").manifest.model == "model.onnx"
    scaler(tmp_path / "other.onnx")
    with pytest.raises(UnknownFormat, match=r"model\.onnx, other\.onnx"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"<html>"), str])
def test_what_is_no_model_is_unknown(make, tmp_path):
    make(tmp_path / "thing")
    with pytest.raises(UnknownFormat):
        open_bundle(tmp_path / "thing")


def test_opening_runs_no_library(folder):
    """A bundle's manifest says all: the supervisor opens bundles and imports no framework."""
    import subprocess
    import sys

    code = (
        "import sys; from servable.bundles.open import open_bundle; open_bundle(sys.argv[1]);"
        "print([name for name in ('onnxruntime', 'sklearn', 'pandas', 'xgboost', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, servable; print(sorted({name.partition('.')[0] for name in sys.modules} & {'numpy', 'msgspec'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert servable.__version__
