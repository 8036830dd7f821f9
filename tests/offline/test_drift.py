from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from servable.bundles.profile import profile_of
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.profile import Profile
from servable.domain.signature import Signature
from servable.offline.drift import drift
from servable.offline.source import find

SIGNATURE = Signature(
    (Field("x", "FP32", (-1, 2), features=("a", "b")), Field("c", "BYTES", (-1, 1))), (Field("y", "FP32"),)
)
DRAW = np.random.default_rng(0)


def data(count, shift=0.0, often="u"):
    return {
        "a": DRAW.normal(shift, 1, count),
        "b": DRAW.normal(0, 1, count),
        "c": np.where(DRAW.random(count) < 0.8, often, "v"),
    }


def test_columns_that_moved_come_first(tmp_path):
    seen = data(5000)
    batch = Batch(
        {
            "x": np.column_stack([seen["a"], seen["b"]]).astype(np.float32),
            "c": seen["c"].astype(object).reshape(-1, 1),
        }
    )
    profile = Profile(5000, profile_of(batch, SIGNATURE.inputs))
    for name, rows in (("same", data(20_000)), ("moved", data(20_000, 1.5, "v"))):
        parquet.write_table(pa.table(rows), tmp_path / f"{name}.parquet")
    same = drift(find(str(tmp_path / "same.parquet")), ["a", "b", "c"], SIGNATURE, profile)
    assert set(same) == {"a", "b", "c"} and max(same.values()) < 0.05
    moved = drift(find(str(tmp_path / "moved.parquet")), ["a", "b", "c"], SIGNATURE, profile)
    assert set(list(moved)[:2]) == {"a", "c"}
    assert moved["a"] > 0.25 and moved["c"] > 0.25 and moved["b"] < 0.05
