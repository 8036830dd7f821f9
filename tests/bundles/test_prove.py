"""The proof finds the one place where a candidate parts from the original; the rows it asks about are worth asking."""

import numpy as np
import pandas as pd
import pytest

from servable.bundles.generate import generate
from servable.bundles.infer import column_fields, columns_of, matrix_field
from servable.bundles.prove import ask, contract, prove, refused
from servable.bundles.sample import read_sample
from servable.bundles.tables import to_batch
from servable.domain.batch import Batch
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, EnvironmentFault, InvalidInput, MissingExtra, UsageError

TABLE = pd.DataFrame(
    {
        "x": [0.0, 0.1, 0.2, 0.7, 0.9, 1.0],
        "n": [1, 2, 3, 5, 8, 13],
        "b": [True, False, True, True, False, False],
        "t": ["a", "b", "a", "c", "b", "a"],
        "c": pd.Categorical([3, 1, 3, 8, 1, 8]),
        "d": pd.date_range("2026-01-01", periods=6),
    }
)


STEP = (0.1 + 0.2) / 2


def original(table):
    """A step halfway between two values of the sample; text counts a little."""
    high = table["x"].to_numpy(float) > STEP
    return {"label": high.astype(np.int64), "score": high + 0.01 * (table["t"] == "a").to_numpy()}


def fields():
    return column_fields(TABLE, "FP64")


def candidate(step=STEP, unseen=0.0, missing=0):
    def answer(batch):
        x, text = batch["x"][:, 0], batch["t"][:, 0]
        label = np.where(np.isnan(x), missing, x > step).astype(np.int64)
        strange = np.array([each not in {"a", "b", "c", None} for each in text])
        return Batch({"label": label, "score": label + 0.01 * (text == "a") + unseen * strange}, len(x))

    return answer


def test_equal_is_proven_with_its_numbers():
    asked = ask(original, TABLE)
    proof, inputs = prove(candidate(), contract(fields(), asked, {}), asked)
    assert set(proof.rows) == {"sample", "mixed", "boundary", "extreme", "missing", "unseen"}
    assert sum(proof.rows.values()) > 100
    assert proof.largest == {"label": 0.0, "score": 0.0}
    assert {field.name for field in inputs if field.values == "missing"} == {"x", "t", "c", "d"}  # noqa: PD011
    assert "equal on" in str(proof)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (candidate(step=0.45), "sample"),
        (candidate(step=np.nextafter(STEP, 0)), "boundary"),
        (candidate(step=-1e6), "sample"),
        (candidate(unseen=0.1), "unseen (column 't')"),
        (lambda batch: Batch({"label": batch["n"][:, 0] * 0, "score": batch["x"][:, 0]}, batch.rows), "sample"),
        (lambda _: 1 / 0, "sample"),
    ],
)
def test_the_place_where_they_part_is_told(wrong, where):
    asked = ask(original, TABLE)
    with pytest.raises(ConversionRejected) as caught:
        prove(wrong, contract(fields(), asked, {}), asked)
    assert f"it differs on {where} rows" in caught.value.message


def test_a_step_in_float32_is_another_step():
    """What is halfway lies a little above in float32: the value falls to the other side."""
    asked = ask(original, TABLE)
    single = column_fields(TABLE, "FP32")

    def rounded(batch):
        wide = Batch({**batch.columns, "x": batch["x"].astype(np.float64)}, batch.rows)
        return candidate()(wide)

    with pytest.raises(ConversionRejected, match="boundary"):
        prove(rounded, contract(single, asked, {}), asked)


def test_a_missing_value_the_sample_never_had_is_refused_where_they_part():
    asked = ask(original, TABLE)
    _, inputs = prove(candidate(missing=1), contract(fields(), asked, {}), asked)
    assert next(field for field in inputs if field.name == "x").values == "finite"  # noqa: PD011 - of a field
    gaps = TABLE.assign(x=[np.nan, *TABLE["x"][1:]])
    asked = ask(original, gaps)
    with pytest.raises(ConversionRejected, match=r"missing \(column 'x'\)|sample"):
        prove(candidate(missing=1), contract(fields(), asked, {}), asked)


def strict(table):
    if table["x"].isna().any():
        raise ValueError("x is missing")
    if not set(table["t"]) <= {"a", "b", "c"}:
        raise ValueError("unseen")
    return original(table)


def test_what_the_original_refuses_becomes_a_limit():
    asked = ask(strict, TABLE)
    assert refused(asked, "missing") == {"x", "t"}
    assert refused(asked, "unseen") == {"t"}
    by_name = {field.name: field for field in contract(fields(), asked, {"t": ("a", "b", "c")})}
    assert by_name["t"].categories == ("a", "b", "c")
    assert by_name["x"].values == by_name["t"].values == "finite"  # noqa: PD011 - of a field
    proof, _ = prove(candidate(unseen=0.1), tuple(by_name.values()), asked)
    assert "unseen" not in proof.rows or proof.rows["unseen"] > 0


def test_an_original_that_refuses_the_sample_itself_raises():
    def never(table):
        raise KeyError("x")

    with pytest.raises(KeyError):
        ask(never, TABLE)


# ---- rows


def test_the_rows_are_the_same_each_time_and_keep_their_dtypes():
    kinds = {}
    for first, second in zip(generate(TABLE), generate(TABLE), strict=True):
        pd.testing.assert_frame_equal(first.table, second.table)
        kinds.setdefault(first.kind, []).append(first)
        for name, dtype in TABLE.dtypes.items():
            if first.kind in {"sample", "mixed", "boundary", "extreme"}:
                assert first.table[name].dtype == dtype
    assert set(kinds) == {"sample", "mixed", "boundary", "extreme", "missing", "unseen"}
    assert STEP in kinds["boundary"][0].table["x"].to_numpy()
    assert kinds["extreme"][0].table["x"].abs().max() > 1000
    assert {rows.column for rows in kinds["missing"]} == {"x", "n", "t", "c", "d"}
    assert {rows.column for rows in kinds["unseen"]} == {"t", "c"}


def test_a_matrix_has_its_rows_too():
    kinds = {rows.kind for rows in generate(np.arange(20.0).reshape(10, 2))}
    assert kinds == {"sample", "mixed", "boundary", "extreme", "missing"}
    (missing,) = (rows for rows in generate(np.arange(6).reshape(6, 1)) if rows.kind == "missing")
    assert np.isnan(missing.table).all()


def test_one_row_is_enough_to_begin_with():
    assert [rows.kind for rows in generate(TABLE.head(1))][:2] == ["sample", "mixed"]


# ---- samples and tables


def test_a_sample_from_every_source(tmp_path):
    plain = TABLE.drop(columns="c").assign(c=TABLE["c"].astype(int))
    plain.to_csv(tmp_path / "a.csv", index=False)
    plain.to_parquet(tmp_path / "a.parquet")
    plain.to_feather(tmp_path / "a.arrow")
    for name in ("a.csv", "a.parquet", "a.arrow"):
        found = read_sample(tmp_path / name, "n")
        assert list(found.table.columns) == ["x", "b", "t", "d", "c"]
        assert found.labels.tolist() == TABLE["n"].tolist()
    rows = read_sample([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]).table
    assert rows.shape == (2, 2)
    assert read_sample([[1.0, 2.0]]).table.shape == (1, 2)
    assert len(read_sample(np.zeros((100_000, 1))).table) == 2000


def test_what_is_no_sample_is_said(tmp_path):
    (tmp_path / "a.parquet").write_text("<html>")
    with pytest.raises(UsageError, match="cannot read the sample"):
        read_sample(tmp_path / "a.parquet")
    with pytest.raises(EnvironmentFault, match="cannot read the sample"):
        read_sample(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="two columns of the same name"):
        read_sample(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(UsageError, match=r"no column 'y'.*'x'"):
        read_sample(TABLE, "y")


def test_pandas_that_is_not_there_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"servable\[pack\]"):
        read_sample("rows.csv")


def test_fields_say_what_columns_are():
    described = {field.name: (field.describe(), field.content) for field in fields()}
    assert described == {
        "x": ("FP64 [-1, 1]", ""),
        "n": ("INT64 [-1, 1]", ""),
        "b": ("BOOL [-1, 1]", ""),
        "t": ("BYTES [-1, 1]", ""),
        "c": ("BYTES [-1, 1]", ""),
        "d": ("BYTES [-1, 1]", "date"),
    }
    assert matrix_field(TABLE, "FP32") is None
    assert matrix_field(TABLE[["x", "n"]], "FP32").describe() == "FP32 [-1, 2]"
    found = columns_of(TABLE)
    assert found.names == tuple(TABLE.columns)
    assert found.categories == {"c": (1, 3, 8)}


def test_a_table_becomes_a_batch_by_name():
    signature = Signature(fields(), ())
    batch = to_batch(TABLE[TABLE.columns[::-1]], signature)
    assert signature.check(batch) == []
    assert batch["c"][:2].tolist() == [["3"], ["1"]]
    assert batch["d"][0, 0] == "2026-01-01T00:00:00"
    for form in (TABLE["c"].astype(float), TABLE["c"].astype(int).astype("Int64"), TABLE["c"].astype(object)):
        np.testing.assert_array_equal(to_batch(TABLE.assign(c=form), signature)["c"], batch["c"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": [0.5, 1, 1, 1, 1, 1]}, "'n'.*0.5"),
        ({"n": [np.nan, 1, 1, 1, 1, 1]}, r"'n'.*missing values \(rows 0\)"),
        ({"x": list("abcdef")}, "'x'"),
        ({"z": 1}, "'z'.*unknown column"),
        ({"b": [0, 1, 2, 0, 0, 0]}, "'b'.*2"),
    ],
)
def test_a_value_that_does_not_fit_is_named(change, says):
    with pytest.raises(InvalidInput, match=says):
        to_batch(TABLE.assign(**change), Signature(fields(), ()))
