"""What every runtime must do, asked of each one that can be found: built-in or a stranger's, by the same door."""

from __future__ import annotations

import gc
import resource
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from servable.bundles.golden import prove_golden
from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.errors import DigestMismatch, EnvironmentFault, ModelFailed, ServableError
from servable.runtimes.find import recognise, runtime, runtimes
from tests.contracts.models import MODELS

pytestmark = pytest.mark.filterwarnings("ignore")  # what other people's libraries warn of is theirs
LEAK_MIB = 24


JUDGED = sorted(name for name, plugin in runtimes().items() if not getattr(plugin, "by_name", False))
"""Those that are chosen by name alone have no content to be recognised by, and tests of their own."""


@pytest.fixture(scope="module", params=JUDGED)
def golden(request, tmp_path_factory):
    assert request.param in MODELS, f"a runtime without a golden model: add one to {MODELS.__module__}"
    return MODELS[request.param](tmp_path_factory.mktemp(request.param) / "golden")


@pytest.fixture
def model(golden):
    loaded = load(golden)
    yield loaded
    loaded.close()


def load(golden):
    return runtime(golden.bundle.manifest.format).load(golden.bundle)


def same(found, expected, exact=False):
    assert set(expected.columns) <= set(found.columns)
    for name, array in expected.columns.items():
        if exact or array.dtype.kind != "f":
            np.testing.assert_array_equal(found[name], array, strict=True)
        else:
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6)


def picked(batch, index):
    return Batch({name: array[index] for name, array in batch.columns.items()}, len(index))


def test_the_rows_keep_the_contract(golden):
    assert golden.bundle.signature.batched
    assert golden.bundle.signature.check(golden.rows) == []
    assert golden.rows.rows >= 4


def test_answers_are_those_of_the_library_that_made_it(golden, model):
    found = model.predict(golden.rows)
    for name, expected in golden.expected.items():
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6)
        else:
            assert found[name].tolist() == expected.tolist()
    assert prove_golden(golden.bundle, model) >= 0


def test_answers_keep_the_contract(golden, model):
    found = model.predict(golden.rows)
    assert found.rows == golden.rows.rows
    assert golden.bundle.signature.check_outputs(found) == []


def test_content_is_recognised_as_what_it_is(golden):
    assert recognise(golden.bundle.model_path).name == golden.bundle.manifest.format


def test_bytes_that_changed_after_the_check_are_never_loaded(golden, tmp_path):
    """Between opening a bundle and loading it somebody may write: what is loaded is what was checked."""
    bundle = Bundle(tmp_path, golden.bundle.manifest, golden.bundle.digest, golden.bundle.inferred)
    for file in bundle.manifest.files:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(golden.bundle.folder / file.path, tmp_path / file.path)
    files = [file.path for file in bundle.manifest.files if file.path.startswith(bundle.manifest.model)]
    changed = bundle.folder / max(files, key=lambda path: (bundle.folder / path).stat().st_size)
    data = bytearray(changed.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    with pytest.raises(DigestMismatch, match=changed.name):
        runtime(bundle.manifest.format).load(bundle)


def test_what_is_cut_off_or_empty_is_one_clear_error(golden, tmp_path):
    """As a bare file, without digests: the format's own reader has to see it. Nothing of it is run."""
    source = golden.bundle.model_path
    if source.is_dir() or golden.bundle.manifest.format in {"python", "python-learner"}:
        return  # a folder's parts, and text that is cut off at a line's end, have tests of their own
    data = source.read_bytes()
    for share in (0.0, 0.02, 0.3, 0.7, 0.95):
        cut = tmp_path / source.name
        cut.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ServableError) as caught:
            open_bundle(cut)
        assert "\n" not in caught.value.message
        assert "Traceback" not in caught.value.message


def test_rows_keep_their_order(golden, model):
    backwards = np.arange(golden.rows.rows)[::-1]
    same(model.predict(picked(golden.rows, backwards)), picked(model.predict(golden.rows), backwards))


def test_a_row_alone_is_the_row_among_others(golden, model):
    together = model.predict(golden.rows)
    for row in range(golden.rows.rows):
        same(model.predict(golden.rows.slice(row, row + 1)), together.slice(row, row + 1))


def test_the_input_is_not_touched(golden, model):
    locked = Batch({name: array.copy() for name, array in golden.rows.columns.items()}, golden.rows.rows)
    for array in locked.columns.values():
        array.flags.writeable = False
    model.predict(locked)
    for name, array in golden.rows.columns.items():
        np.testing.assert_array_equal(locked[name], array)


def test_arrays_need_not_lie_in_one_piece(golden, model):
    strided = {}
    for name, array in golden.rows.columns.items():
        wide = np.empty((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        strided[name] = wide[..., ::2]
    same(model.predict(Batch(strided, golden.rows.rows)), model.predict(golden.rows))


def test_no_rows_get_no_rows(golden, model):
    found = model.predict(golden.rows.slice(0, 0))
    assert found.rows == 0
    assert golden.bundle.signature.check_outputs(found) == []
    assert all(len(array) == 0 for array in found.columns.values())


def test_inputs_are_found_by_name_not_by_position(golden, model):
    turned = dict(reversed(golden.rows.columns.items()))
    same(model.predict(Batch(turned, golden.rows.rows)), model.predict(golden.rows), exact=True)


def test_an_unknown_column_is_a_fault(golden):
    strange = Batch({**golden.rows.columns, "no such column": np.zeros(golden.rows.rows)}, golden.rows.rows)
    (fault,) = golden.bundle.signature.check(strange)
    assert fault.field == "no such column"


def test_a_missing_value_is_answered_where_the_contract_takes_it(golden, model):
    expected = model.predict(golden.rows)
    for field in golden.bundle.signature.inputs:
        if field.values != "missing":
            continue
        changed = golden.rows[field.name].copy()
        changed[0] = np.nan if field.dtype.kind == "f" else None
        batch = Batch({**golden.rows.columns, field.name: changed}, golden.rows.rows)
        assert golden.bundle.signature.check(batch) == []
        found = model.predict(batch)
        assert golden.bundle.signature.check_outputs(found) == []
        same(found.slice(1, found.rows), expected.slice(1, found.rows))


def test_threads_may_call_it_together_if_it_says_so(golden, model):
    if not model.concurrent:
        return
    expected = [model.predict(golden.rows.slice(row, row + 1)) for row in range(golden.rows.rows)]
    start = threading.Barrier(4)

    def ask(offset):
        start.wait()
        for turn in range(2 * golden.rows.rows):
            row = (turn + offset) % golden.rows.rows
            same(model.predict(golden.rows.slice(row, row + 1)), expected[row], exact=True)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(4)))


def test_loaded_again_it_says_the_same(golden, model):
    again = load(golden)
    same(again.predict(golden.rows), model.predict(golden.rows), exact=True)
    again.close()


def test_closed_it_answers_no_more(golden):
    if runtime(golden.bundle.manifest.format).isolated:
        return  # its process ends with it
    loaded = load(golden)
    loaded.close()
    with pytest.raises(ModelFailed, match="closed"):
        loaded.predict(golden.rows)


def test_closing_gives_the_memory_back(golden):
    if runtime(golden.bundle.manifest.format).isolated:
        return  # as above

    def cycle(times):
        for _ in range(times):
            loaded = load(golden)
            loaded.predict(golden.rows)
            loaded.close()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = cycle(8)
    assert cycle(24) - before < LEAK_MIB


def test_a_device_that_is_not_there_is_an_error_and_never_the_processor_instead(golden):
    if getattr(runtime(golden.bundle.manifest.format), "code", False):
        return  # told where to run, it goes there itself
    with pytest.raises(EnvironmentFault, match="'cuda:7'"):
        runtime(golden.bundle.manifest.format).load(golden.bundle, "cuda:7")


NEEDS = {
    "sklearn": ("sklearn", r"'servable\[sklearn\]'"), "xgboost": ("xgboost", r"'servable\[xgboost\]'"),
    "lightgbm": ("lightgbm", r"'servable\[lightgbm\]'"), "catboost": ("catboost", r"'servable\[catboost\]'"),
    "tflite": ("ai_edge_litert", r"'servable\[tflite\]'"), "pytorch": ("torch", r"'servable\[pytorch\]'"),
    "torchscript": ("torch", r"'servable\[pytorch\]'"), "safetensors": ("torch", r"'servable\[pytorch\]'"),
    "keras": ("keras", r"'servable\[tensorflow\]'"), "tensorflow": ("tensorflow", r"'servable\[tensorflow\]'"),
    "huggingface": ("transformers", r"'servable\[huggingface\]'"), "gguf": ("xllamacpp", r"'servable\[llm\]'"),
    "mlflow": ("mlflow", "mlflow-skinny"), "pickle": ("sklearn", "the library that brings it"),
}  # fmt: skip
"""The library of each format that needs one beside the base install, and what its error tells to install."""


def test_a_library_that_is_missing_is_named_with_what_brings_it(golden, monkeypatch):
    if golden.bundle.manifest.format not in NEEDS:
        return
    library, brought_by = NEEDS[golden.bundle.manifest.format]
    loaded = [name for name in sys.modules if name.partition(".")[0] == library]
    for name in {library, *loaded}:
        monkeypatch.setitem(sys.modules, name, None)  # what the import of an absent library comes to
    with pytest.raises(EnvironmentFault, match=f"pip install {brought_by}"):
        load(golden)
