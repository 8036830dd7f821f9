"""PythonLearnerRuntime: Python source that defines a learner, as a format. Runs code, so only by consent, from a bundle
that holds the source's digest, in the learner's own sandboxed process.
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Learner
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import BundleError, InvalidInput, ModelFailed
from servable.online.learners.labels import Labels
from servable.online.learners.linear import OUTPUT
from servable.online.learners.python_learner import PythonLearner
from servable.online.learners.spec import with_target
from servable.online.learners.state import begin
from servable.online.learners.trial import by_feature, trial
from servable.runtimes import consent, verified
from servable.runtimes.python import MODULE, run_source, statements
from servable.runtimes.python_model import signature_of

WHAT: Final = "Python"
DECLARED: Final = ("inputs", "outputs", "classes", "target")
BASES: Final = {"PythonLearner", "RiverLearner", "SklearnLearner", "TorchLearner"}


class PythonLearnerRuntime:
    """Source with one class that is a PythonLearner. `learns` tells a server that it needs a journal."""

    name = "python-learner"
    platform = "python_learner"
    isolated = True
    code = True
    learns = True

    def recognises(self, path: Path, head: bytes) -> bool:
        """Source that defines a class on one of the bases for learners. It is parsed, not run."""
        return any(
            {getattr(base, "attr", getattr(base, "id", "")) for base in node.bases} & BASES
            for node in statements(path, head)
            if isinstance(node, ast.ClassDef)
        )

    def inspect(self, path: Path) -> Inspection:
        """Refuses: to learn what it takes, one would have to run it."""
        raise consent.refuse(path.name, WHAT)

    def declared(self, path: Path, known: Inspection | None = None, rows: Batch | None = None) -> Inspection:
        """What the code itself declares, by running it, and that it is the same learner each time: for packing, after
        consent. `rows` of a sample, if there are. Raises BundleError.
        """
        kind = _run(path.read_bytes(), path)
        signature = _signature(kind, path)

        def make() -> Learner:
            learner = kind()
            learner.load(path.parent)
            return PythonLearning(learner, signature)

        try:
            sample = rows if rows is None or known is None else by_feature(rows, known.signature)
            trial(make, signature, kind.classes, sample)
        except BundleError as error:
            raise BundleError(f"{path.name!r}: {error.message}") from error
        labels = {"probabilities": tuple(map(str, kind.classes))} if kind.classes else {}
        return Inspection(signature, labels)

    def load(self, bundle: Bundle, device: str = "cpu") -> Learner:  # noqa: ARG002 - where it runs is the code's own affair
        consent.demand(bundle, WHAT)
        learner = _run(verified.read(bundle), bundle.model_path)()
        learner.load(bundle.model_path.parent)
        return begin(PythonLearning(learner, bundle.signature), bundle)


class PythonLearning:
    """A PythonLearner as a Learner: a dict goes in, what comes back is brought into the declared form."""

    concurrent = False

    def __init__(self, learner: PythonLearner, signature: Signature) -> None:
        self.learner = learner
        self._dtypes = {field.name: field.dtype for field in signature.outputs}
        self._shows = [field.name for field in signature.inputs if field.content != "target"]
        self._labels = Labels(learner.classes) if learner.classes else None
        if hasattr(learner, "parameters"):
            self.parameters = learner.parameters

    def predict(self, batch: Batch) -> Batch:
        answer = self.learner.predict(self._shown(batch))
        if not isinstance(answer, Mapping):
            raise ModelFailed(f"predict gave a {type(answer).__name__}: expected a dict of outputs")
        columns = {name: np.asarray(values).astype(self._dtypes[name]) for name, values in answer.items()}
        return Batch(columns, batch.rows)

    def learn(self, batch: Batch, outcomes: Array) -> None:
        if self._labels is not None:  # as the source declares them, whatever JSON made of them
            places = self._labels.places(outcomes)
            outcomes = np.array(self._labels.classes, object if self._labels.text else np.int64)[places]
        self.learner.learn(self._shown(batch), outcomes)

    def _shown(self, batch: Batch) -> dict[str, Array]:
        """All but the target, in the order that is declared: columns side by side are told apart by it."""
        return {name: batch[name] for name in self._shows if name in batch.columns}

    def check(self, outcomes: Array) -> None:
        if self._labels is not None:
            self._labels.places(outcomes)
        elif outcomes.dtype.kind not in "fiub" or not np.isfinite(outcomes).all():
            raise InvalidInput(f"outcomes: expected finite numbers, got {outcomes.tolist()!r:.100}")

    def snapshot(self) -> bytes:
        return self.learner.snapshot()

    def restore(self, state: bytes) -> None:
        self.learner.restore(state)

    def close(self) -> None:
        self.learner.close()


def _signature(kind: type[PythonLearner], path: Path) -> Signature:
    for own in vars(kind):
        near = difflib.get_close_matches(own, DECLARED, 1, cutoff=0.8)
        if near and own not in DECLARED and not hasattr(PythonLearner, own):
            raise BundleError(f"{path.name!r} declares {own!r}, which means nothing: did you mean {near[0]!r}?")
    outputs: Any = kind.outputs
    if not outputs:
        fields = Labels(kind.classes).fields() if kind.classes else (OUTPUT,)
        outputs = {field.name: field for field in fields}
    declared = type("Declared", (), {"inputs": kind.inputs, "outputs": outputs})
    try:
        signature = signature_of(declared)
    except ValueError as error:
        raise BundleError(f"{path.name!r} declares what cannot be: {error}") from error
    if signature is None:
        raise BundleError(f"{path.name!r} does not say what it takes: set `inputs`")
    return msgspec.structs.replace(signature, inputs=with_target(signature.inputs, kind.target, kind.classes))


def _run(source: bytes, path: Path) -> type[PythonLearner]:
    """The one class that is a learner."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        module = run_source(source, path)
    finally:
        sys.path.remove(folder)
    found = [
        value for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, PythonLearner) and value.__module__ == MODULE
    ]  # fmt: skip
    if len(found) != 1:
        names = ", ".join(kind.__name__ for kind in found) or "none"
        raise BundleError(f"{path.name!r}: expected one class that is a learner, got {names}")
    return found[0]
