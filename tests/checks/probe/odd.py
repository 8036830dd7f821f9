"""A model with every fault that a probe looks for, each where it is known to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from servable.bundles.open import open_bundle
from servable.checks.examples import Examples, examples_of
from servable.checks.subject import Subject
from servable.runtimes.find import runtime
from tests.custom import custom

ODD = """
import numpy as np
import servable

class Odd(servable.PythonModel):
    inputs = {name: "FP64 [-1]" for name in ("age", "income", "debt", "calm")} | {"region": "BYTES [-1]"}
    outputs = {"price": "FP64 [-1]"}

    def predict(self, batch):
        if any(region not in {"north", "south", b"north", b"south"} for region in batch["region"]):
            raise KeyError("no such region")
        price = 0.001 * batch["income"] + np.where(batch["debt"] > 500.0, 40.0, 0.0)
        price = price + np.where(batch["age"] > 120, np.nan, 0.0) + 0.0 * batch["calm"]
        return {"price": price + COMPANY * batch["calm"].mean()}
"""


def odd(folder: Path, company: float = 0.0) -> Subject:
    """`company`: how far an answer depends on the rows that are asked with it."""
    bundle = open_bundle(custom(folder, ODD.replace("COMPANY", str(company)), name="odd"))
    return Subject("odd:1", bundle, runtime(bundle.manifest.format).load(bundle), 0.0)


def rows(model: Subject) -> Examples:
    """Rows as such a model is asked them."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": random.uniform(18, 90, 300),
            "income": random.uniform(10_000, 90_000, 300),
            "debt": np.sort(random.uniform(0, 1000, 300)),
            "calm": random.normal(size=300),
            "region": random.choice(["north", "south"], 300),
        }
    )
    return examples_of(table, model.bundle.signature, None)
