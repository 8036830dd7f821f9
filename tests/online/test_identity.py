"""Whose a folder of learning is: marked once, and refused to anybody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from servable.domain.bundle import File, Manifest
from servable.domain.signature import Field, Signature
from servable.errors import Conflict
from servable.online.identity import FILE, check, claim, identity_of

X = Field("x", "FP64", (-1, 2))
SIGNATURE = Signature((X,), (Field("y", "FP64", (-1,)),))
FILES = (File("model.json", 10, "aa"), File("golden.parquet", 10, "bb"))
STATED = Manifest(
    "cancer", "learner", "model.json", "servable_learner", SIGNATURE, FILES, golden="golden.parquet",
    options={"learning": {"guards": {"reach": 10.0}}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (dict[str, object], True),
        (lambda: {"name": "other", "checks": ("accuracy>=0.9",), "lineage": {"parent": "x:1"}}, True),
        (lambda: {"libraries": {"river": "0.23"}, "labels": {"y": ("a", "b")}}, True),
        (lambda: {"files": (FILES[0], File("golden.parquet", 10, "cc"))}, True),
        (lambda: {"files": (File("model.json", 10, "cc"), FILES[1])}, False),
        (lambda: {"files": (*FILES, File("module.py", 10, "cc"))}, False),
        (lambda: {"options": {"learning": {"guards": {"reach": 11.0}}}}, False),
        (
            lambda: {
                "signature": msgspec.structs.replace(
                    SIGNATURE, inputs=(*SIGNATURE.inputs, msgspec.structs.replace(X, name="z"))
                )
            },
            False,
        ),
        (lambda: {"format": "python-learner"}, False),
    ],
)
def test_what_decides_what_is_learned_is_the_identity(change: Callable[[], dict[str, object]], same: bool) -> None:
    assert (identity_of(msgspec.structs.replace(STATED, **change())) == identity_of(STATED)) is same


def test_a_folder_is_the_first_ones(tmp_path: Path) -> None:
    check(tmp_path, "b")
    for _ in range(2):
        claim(tmp_path, "a")
        check(tmp_path, "a")
    for act in (claim, check):
        with pytest.raises(Conflict, match=rf"{tmp_path} holds what the learner with the digest a has .* one's is b:"):
            act(tmp_path, "b")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_text() == "a\n"
