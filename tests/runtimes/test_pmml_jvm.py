"""Documents that the translation does not know, evaluated in a JVM inside a process of its own; chosen by name."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import servable
from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, CorruptModel, IncompatibleModel, UnsafeModel
from servable.runtimes.find import recognise, runtime

SOURCE = Path(__file__).parent.parent / "data" / "pmml"
TREE = """<?xml version="1.0"?>
<PMML xmlns="http://www.dmg.org/PMML-4_3" version="4.3"><Header/>
<DataDictionary><DataField name="age" optype="continuous" dataType="double"/>
<DataField name="risk" optype="categorical" dataType="string"><Value value="low"/><Value value="high"/></DataField>
</DataDictionary>
<TreeModel functionName="classification" missingValueStrategy="aggregateNodes">
<MiningSchema><MiningField name="age"/><MiningField name="risk" usageType="target"/></MiningSchema>
<Node score="low" recordCount="10"><True/>
<ScoreDistribution value="low" recordCount="6"/><ScoreDistribution value="high" recordCount="4"/>
<Node score="low" recordCount="6"><SimplePredicate field="age" operator="lessThan" value="40"/>
<ScoreDistribution value="low" recordCount="5"/><ScoreDistribution value="high" recordCount="1"/></Node>
<Node score="high" recordCount="4"><SimplePredicate field="age" operator="greaterOrEqual" value="40"/>
<ScoreDistribution value="low" recordCount="1"/><ScoreDistribution value="high" recordCount="3"/></Node>
</Node></TreeModel></PMML>"""


def test_what_translation_does_not_know_is_packed_for_a_jvm(tmp_path):
    path = tmp_path / "risk.pmml"
    path.write_text(TREE)
    assert recognise(path).name == "pmml"
    with pytest.raises(IncompatibleModel, match="--format pmml-jvm"):
        open_bundle(path)
    bundle = servable.pack(path, format="pmml-jvm", output=tmp_path / "bundle")
    assert bundle.manifest.format == "pmml-jvm"
    assert "allow_unsafe" not in bundle.manifest.options
    assert runtime("pmml-jvm").isolated
    with servable.load(tmp_path / "bundle") as model:
        assert model.sandbox
        found = model.predict_batch(Batch({"age": np.array([[20.0], [60.0], [np.nan]])}))
        label = next(name for name, array in found.columns.items() if array.dtype == object)
        assert found[label].tolist()[:2] == ["low", "high"]
        assert bundle.signature.check_outputs(found) == []
        assert model.predict_batch(Batch({"age": np.empty((0, 1))}, 0)).rows == 0


@pytest.mark.faults
def test_it_agrees_with_the_translation(tmp_path):
    path = tmp_path / "forest.pmml"
    path.write_bytes(gzip.decompress((SOURCE / "forest_cancer.pmml.gz").read_bytes()))
    told = json.loads((SOURCE / "forest_cancer.json").read_text())
    translated = runtime("pmml").load(open_bundle(path))
    bundle = servable.pack(path, format="pmml-jvm", output=tmp_path / "bundle")
    names = [field.name for field in bundle.signature.inputs]
    rows = {name: np.array([[value] for value in told["inputs"][name]], float) for name in names}
    expected = translated.predict(Batch({field.name: rows[field.name].astype(field.dtype).reshape(-1, *field.shape[1:])
                                         for field in open_bundle(path).signature.inputs}))  # fmt: skip
    with servable.load(tmp_path / "bundle") as model:
        found = model.predict_batch(Batch(rows))
    shared = set(found.columns) & set(expected.columns)
    assert shared
    for name in shared:
        if found[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], expected[name].reshape(len(found[name])), atol=1e-6)
        else:
            assert found[name].tolist() == expected[name].tolist()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (TREE[:300], CorruptModel),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + TREE.partition("?>")[2], UnsafeModel),
        (TREE.replace("TreeModel", "NoModel"), BundleError),
        ("", BundleError),
    ],
)
def test_broken_and_hostile_documents_are_refused(content, error, tmp_path):
    path = tmp_path / "risk.pmml"
    path.write_text(content)
    with pytest.raises(error) as caught:
        servable.pack(path, format="pmml-jvm", output=tmp_path / "bundle")
    assert "\n" not in caught.value.message
