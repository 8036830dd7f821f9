"""A learner that is code is remade behind walls: what it may not do where it is served, it may not do there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

import servable
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.errors import CorruptModel
from servable.online.event import Examples, column, columns
from servable.online.journal import Journal
from servable.online.remaking import Wish, remade

REACHES_OUT = """
import os
import socket
from pathlib import Path

import servable


class Sides(servable.SklearnLearner):
    inputs = {{"wide": "FP64", "high": "FP64"}}
    classes = (0, 1)

    def model(self):
        from sklearn.linear_model import SGDClassifier

        print("a learner that says something")
        for act in (self.write, self.connect):
            try:
                act()
            except PermissionError:
                continue
            raise ValueError("nothing stopped it")
        return [SGDClassifier(loss="log_loss", random_state=7)]

    def write(self):
        Path({outside!r}).write_text("here")

    def connect(self):
        socket.create_connection(("127.0.0.1", 9))
"""
ENDS = """

class Sides(Sides):
    def learn(self, batch, outcomes):
        if (batch["wide"] < 0).any():  # none of those that it is packed with
            os._exit(3)
"""
WIDE, HIGH = np.random.default_rng(1).normal(size=(2, 300))
Y = (WIDE > HIGH).astype(np.int64)


def taught(folder: Path, more: str = "") -> tuple[Bundle, Wish]:
    """A learner that is code, and the wish for all of its journal of 300 examples."""
    source = folder / "sides.py"
    source.write_text(REACHES_OUT.format(outside=str(folder / "outside")) + more)
    bundle = servable.pack(source, name="sides", output=folder / "sides", allow_unsafe=True)
    journal = Journal(folder / "learned" / "journal")
    for start in range(0, 300, 50):
        rows = slice(start, start + 50)
        ids = tuple(map(str, range(start, start + 50)))
        shown = columns(Batch({"wide": WIDE[rows], "high": HIGH[rows]}))
        journal.append([Examples(0.0, "ward", ids, (0,) * 50, shown, column("", Y[rows]))])
    journal.close()
    return bundle, Wish(str(bundle.folder), "sides", str(folder / "learned"), "sides:1")


def test_it_reaches_nothing_outside(tmp_path: Path) -> None:
    old, wish = taught(tmp_path)
    past = remade(old, msgspec.structs.replace(wish, at=250), tmp_path / "past", tmp_path / "environments")
    assert (past.manifest.lineage["offset"], past.manifest.lineage["learned"]) == (250, 250)
    frozen = msgspec.structs.replace(wish, frozen=True, to="onnx")
    remade(old, frozen, tmp_path / "frozen", tmp_path / "environments")
    with servable.load(tmp_path / "frozen") as model:
        answer = model.predict({"wide": WIDE, "high": HIGH})
    lineage = model.bundle.manifest.lineage
    assert (lineage["parent"], lineage["learned"]) == ("sides:1", 300)
    assert (answer["label"] == Y).mean() > 0.9
    assert not (tmp_path / "outside").exists()


def test_whoever_ends_its_process_is_told(tmp_path: Path) -> None:
    old, wish = taught(tmp_path, ENDS)
    with pytest.raises(CorruptModel, match=r"'sides' ended the process that opened it \(exit code 3\)"):
        remade(old, wish, tmp_path / "past", tmp_path / "environments")
    assert not (tmp_path / "past").exists()
