import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from servable.bundles.manifest import dumps, loads
from servable.bundles.manifest_place import line_of
from servable.domain.bundle import File, Manifest
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import BundleError

MANIFEST = Manifest(
    name="churn",
    format="onnx",
    model="model.onnx",
    platform="onnx_onnxv1",
    signature=Signature(
        (
            Field("age", "FP32", (-1, 1), values="missing", low=0.5, high=120),
            Field("größe", "BYTES", (-1, 1), categories=("S", "M", 'quo"te')),
            Field("matrix", "FP64", (-1, 2), ("a", "b")),
            Field("day", "BYTES", (-1, 1), content="date"),
        ),
        (Field("label", "INT64"), Field("probabilities", "FP32", (-1, 2), ("no", "yes"), values="any")),
    ),
    files=(File("model.onnx", 12, "ab" * 32), File("golden.json", 3, "cd" * 32)),
    golden="golden.json",
    labels={"probabilities": ("no", "yes")},
    libraries={"scikit-learn": "1.9.1"},
    options={"missing_text": "<missing>", "frame": {"names": ["age"], "dtypes": ["float64"]}, "classes": [1, 2]},
    lineage={"source": "sklearn.pipeline.Pipeline", "rejected": ["FP32: no"]},
    checks=("accuracy>=0.9",),
)


def tree():
    return msgspec.to_builtins(MANIFEST, builtin_types=())


def written(change):
    made = tree()
    change(made)
    return tomli_w.dumps(made).encode()


def test_what_is_written_is_read_and_written_the_same():
    data = dumps(MANIFEST)
    assert loads(data) == MANIFEST
    assert dumps(loads(data)) == data


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(modle=m.pop("model")), "unknown key 'modle': did you mean 'model'?"),
        (lambda m: m["signature"].update(input=[]), "unknown key 'signature.input': did you mean 'inputs'?"),
        (
            lambda m: m["signature"]["inputs"][1].update(datatipe="FP32"),
            "unknown key 'signature.inputs[1].datatipe': did you mean 'datatype'?",
        ),
        (lambda m: m["files"][0].update(sha265="x"), "unknown key 'files[0].sha265': did you mean 'sha256'?"),
        (lambda m: m.update(zebra=1), "unknown key 'zebra': known keys are name, format"),
        (lambda m: m.pop("name"), "missing required field `name`"),
        (lambda m: m["files"][1].pop("sha256"), "key 'files[1]': object missing required field `sha256`"),
        (
            lambda m: m["signature"]["inputs"][0].update(shape="any"),
            "key 'signature.inputs[0].shape': expected `array`",
        ),
        (lambda m: m["signature"]["inputs"][0].update(values="some"), "key 'signature.inputs[0].values'"),
        (lambda m: m["signature"]["inputs"][0].update(datatype="FLOAT"), "datatype 'FLOAT' is not one of BOOL"),
        (lambda m: m["signature"]["inputs"][0].update(name="größe"), "two inputs have the same name"),
        (
            lambda m: m["signature"]["inputs"][3].update(content="dat"),
            "key 'signature.inputs[3].content': expected one of date, id, target, got 'dat': did you mean 'date'?",
        ),
        (lambda m: m.update(checks=["accuracy>=0.9", "acuracy>=0.9"]), "did you mean 'accuracy'?"),
        (lambda m: m.update(checks=["good"]), "check 'good'"),
        (lambda m: m.update(schema=99), "has schema 99, this program reads up to 1: install a newer servable"),
        (lambda m: m.update(labels=["a"]), "key 'labels': expected `object`"),
    ],
)
def test_a_typo_is_one_clear_error(change, says):
    with pytest.raises(BundleError) as caught:
        loads(written(change), "churn/manifest.toml")
    assert caught.value.message.startswith("churn/manifest.toml")
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("data", [b"name = ", b"\xff\xfe", b"[a]\n[a]\n", b"<html>"])
def test_what_is_no_toml_is_said(data):
    with pytest.raises(BundleError, match="not valid TOML"):
        loads(data)


def test_what_toml_cannot_hold_is_said():
    with pytest.raises(BundleError, match="cannot be written as TOML"):
        dumps(msgspec.structs.replace(MANIFEST, options={"nothing": None}))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda m: m.update(naem="x"), "naem ="),
        (lambda m: m["files"][1].update(bytes="many"), 'bytes = "many"'),
        (lambda m: m["files"][1].update(sha265="x"), "sha265 ="),
        (lambda m: m["signature"]["inputs"][2].update(low="low"), 'low = "low"'),
        (lambda m: m["signature"]["outputs"][1].update(shape=["x"]), None),
        (lambda m: m.update(checks=["accurac>=0.9"]), "checks = ["),
    ],
)
def test_the_line_is_named(change, line):
    data = written(change)
    with pytest.raises(BundleError, match=r"manifest\.toml, line (\d+): ") as caught:
        loads(data)
    number = int(caught.value.message.partition("line ")[2].partition(":")[0])
    found = data.decode().splitlines()[number - 1]
    if line is None:  # the second table of outputs, the shape in it
        assert found.startswith("shape = [")
        assert data.decode().splitlines()[:number].count("[[signature.outputs]]") == 2
    else:
        assert found.strip().startswith(line)


@given(st.text(max_size=300), st.text(max_size=30))
def test_any_text_has_a_line_or_none(text, place):
    line = line_of(text, place)
    assert line is None or 1 <= line <= len(text.splitlines())
