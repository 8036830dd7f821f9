"""A part on its way to another machine and back, without a cluster: the parcel, the worker there, what returns."""

from __future__ import annotations

import shutil
import sys

import msgspec
import pytest

from servable.bundles.open import open_bundle
from servable.engine.plan import Target
from servable.errors import EnvironmentFault, MissingExtra, UsageError
from servable.offline.cluster import parcel
from servable.offline.cluster.landing import Landing
from servable.offline.cluster.task import Task, as_batch, of_batch
from servable.offline.crew import Crew
from servable.offline.hands import Engine
from servable.offline.order import Order
from servable.offline.source import find
from tests.offline.files import csv_files
from tests.packed import bundle_at


def order_for(tmp_path, name, source="bundle"):
    bundle = open_bundle(bundle_at(tmp_path / source))
    target = Target("scaler", "1", str(bundle.folder), bundle.digest)
    return Order(
        target, str(tmp_path / name), "id", "text", ("id", "a", "b"), ("a", "b"), str(tmp_path / f"{name}-out")
    )


def files_below(*folders):
    return {path.relative_to(folder): path.read_bytes() for folder in folders for path in folder.rglob("*.[ajp]*")
            if folder.name != "parts" and path.parent.name != "parts"}  # fmt: skip


def test_a_part_comes_back_as_a_worker_here_would_have_left_it(tmp_path):
    parts = find(str(csv_files(tmp_path / "in", 2, more="bad,x,1\n"))).parts
    here, there = order_for(tmp_path, "here"), order_for(tmp_path, "there", "sent")
    with Crew(here, 1) as crew:
        expected = {scored.number: scored for scored in crew.run(parts)}
    parcel.unpack(parcel.pack(there, tmp_path / "parcel.tar"), tmp_path / "machine")
    shutil.rmtree(tmp_path / "sent")  # the other machine does not see it
    task = Task(tmp_path / "machine", tmp_path / "machine/part")
    with Landing(there) as landing:
        for part in parts:
            first, again = list(task.do(part)), list(task.do(part))
            told = [landing.take(chunk) for sent in (*first[:-1], *again) for chunk in of_batch(as_batch(sent))]
            scored = told[-1]
            assert told[:-1] == [None] * (len(told) - 1)
            assert (scored.rows, scored.bad) == (expected[part.number].rows, expected[part.number].bad)
            assert sorted(scored.files.values()) == sorted(expected[part.number].files.values())
    task.close()
    found = files_below(tmp_path / "there", tmp_path / "there-out")
    assert found == files_below(tmp_path / "here", tmp_path / "here-out")
    assert len(found) == 5
    assert not (tmp_path / "machine/part").exists()


def test_what_a_worker_there_cannot_do_is_told_here(tmp_path):
    (part,) = find(str(csv_files(tmp_path / "in", 1))).parts
    order = order_for(tmp_path, "there")
    parcel.unpack(parcel.pack(order, tmp_path / "parcel.tar"), tmp_path / "machine")
    with Landing(order) as landing:
        task = Task(tmp_path / "machine", tmp_path / "machine/part")
        (tmp_path / "in/000.csv").unlink()
        with pytest.raises(EnvironmentFault, match=r"cannot read .*000\.csv"):
            landing.take(*task.do(part))
        task.close()
        (tmp_path / "machine" / "models/0/bundle/model.onnx").write_bytes(b"other")
        task = Task(tmp_path / "machine", tmp_path / "machine/part")
        with pytest.raises(Exception, match="the manifest says"):
            landing.take(*task.do(part))
        label = msgspec.json.decode((tmp_path / "machine" / parcel.ORDER).read_bytes())
        (tmp_path / "machine" / parcel.ORDER).write_bytes(msgspec.json.encode(label | {"version": "0.0.1"}))
        task = Task(tmp_path / "machine", tmp_path / "machine/part")
        with pytest.raises(EnvironmentFault, match=r"was started by Servable 0\.0\.1, and this machine"):
            landing.take(*task.do(part))


def test_half_a_part_leaves_nothing(tmp_path):
    (part,) = find(str(csv_files(tmp_path / "in", 1))).parts
    order = order_for(tmp_path, "there")
    parcel.unpack(parcel.pack(order, tmp_path / "parcel.tar"), tmp_path / "machine")
    task = Task(tmp_path / "machine", tmp_path / "machine/part")
    *files, report = task.do(part)
    task.close()
    with Landing(order) as landing:
        landing.take(files[0])
    assert [path for path in (tmp_path / "there").rglob("*") if path.is_file()] == []
    with Landing(order) as landing:
        landing.take(files[0]._replace(content=b"cut"))
        with pytest.raises(EnvironmentFault, match="came back with"):
            landing.take(report)
    assert not (tmp_path / "there/parts").exists()


@pytest.mark.parametrize(("engine", "module"), [("spark", "pyspark"), ("ray", "ray")])
def test_what_is_not_installed_is_told(tmp_path, monkeypatch, engine, module):
    for name in (module, "py4j.protocol", "pyspark.errors"):
        monkeypatch.setitem(sys.modules, name, None)
    hands = Engine(engine).hands(order_for(tmp_path, "there"))
    with pytest.raises(MissingExtra, match=rf"pip install 'servable\[{engine}\]'"):
        hands.__enter__()


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (Engine("dask"), "expected one of local, spark, ray"),
        (Engine("local", None, "spark://head:7077"), "give --engine spark or ray"),
        (Engine("spark", 0), "expected 1 or more"),
    ],
)
def test_an_engine_that_cannot_be_meant(engine, said):
    with pytest.raises(UsageError, match=said):
        engine.demand()
