"""Numbers in CSV files: read as such where all of them are, cell by cell where one is not, and always the same ones."""

import numpy as np
import pyarrow as pa
import pytest

from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.offline import piece
from servable.offline.intake import take
from servable.offline.numerals import read_as, settled
from servable.offline.source import find

CELLS = (
    "1", "-2.5", "+1.5", "1e5", "1E+5", ".5", "5.", " 1.5 ", "1.5\t", '"1.5"', "", "NA", " NA", "nan", "None", "1e-999",
    "9007199254740993", "1e999", "-1e999", "inf", "-inf", "+inf", "Infinity", "INF", "iNf", "infinity", "NAN", "-nan",
    "nan(1)", "true", "FALSE", "0x10", "1_0", "1.5f", "1d5", "\u0661", "old", "1,5",
)  # fmt: skip


def signature(datatype):
    return Signature((Field("x", datatype, (-1,), values="any"),), (Field("y", "FP32", (-1,)),))


def blocks(path, numbers=()):
    return [block for part in find(str(path)).parts for one in part.pieces for block in piece.read(one, None, numbers)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64", "INT8", "UINT64", "BOOL"])
def test_a_cell_means_the_same_however_it_is_read(tmp_path, cell, datatype):
    (tmp_path / "a.csv").write_text(f"id,x\n1,2\n2,{cell}\n3,4\n")
    wanted, kinds = signature(datatype), read_as(signature(datatype), "id")
    floats = [name for name, kind in kinds.items() if kind == "float64"]
    assert floats == (["x"] if datatype.startswith("FP") else [])
    (quick,), (careful,) = blocks(tmp_path / "a.csv", floats), blocks(tmp_path / "a.csv")
    assert quick.broken == careful.broken
    one, other = take(quick.rows, wanted), take(careful.rows, wanted)
    np.testing.assert_array_equal(one.batch["x"], other.batch["x"])
    assert one.reasons == other.reasons
    rows = [
        settled(block.rows if taken.good is None else block.rows.filter(pa.array(taken.good)), kinds)
        for block, taken in ((quick, one), (careful, other))
    ]
    assert rows[0].equals(rows[1])
    assert rows[0].schema.field("x").type == (pa.type_for_alias(kinds["x"]) if kinds else pa.binary())


def test_what_comes_after_many_numbers_is_still_told(tmp_path):
    lines = [f"{row},{row / 8}" for row in range(400_000)]
    lines[350_001:350_001] = ["350001,1,2", "350002,old", "350003,inf"]
    (tmp_path / "a.csv").write_text("id,x\n" + "\n".join(lines) + "\n")
    quick, careful = blocks(tmp_path / "a.csv", ["x"]), blocks(tmp_path / "a.csv")
    kinds = [block.rows.schema.field("x").type for block in quick]
    assert (kinds[0], kinds[-1]) == (pa.float64(), pa.binary())
    assert [block.rows.column("id") for block in quick] == [block.rows.column("id") for block in careful]
    assert [block.broken for block in quick] == [block.broken for block in careful]
    assert sum(len(block.broken) for block in quick) == 1


def test_the_key_stays_as_it_is_written():
    assert read_as(signature("FP32"), "x") == {}
    assert read_as(signature("BYTES"), "") == {}
