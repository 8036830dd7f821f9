"""LearnerRuntime: built-in learners as a format. They are data, so they answer inside the doors; what they learn comes
to them there from the one process that holds the journal.
"""

from __future__ import annotations

from pathlib import Path

from servable.domain.bundle import Bundle
from servable.domain.model import Learner
from servable.domain.runtime import Inspection
from servable.online.learners import spec
from servable.online.learners.state import begin
from servable.runtimes import verified
from servable.runtimes.devices import only_cpu


class LearnerRuntime:
    """A `learner.json`: see `spec.py`. `learns` tells a server that it needs a journal."""

    name = "learner"
    platform = "servable_learner"
    isolated = False
    learns = True

    def recognises(self, path: Path, head: bytes) -> bool:
        """A small JSON object that names its learner, be it one that there is not."""
        small = head.lstrip().startswith(b"{") and path.is_file() and path.stat().st_size <= spec.LARGEST
        return small and spec.describes(path.read_bytes())

    def inspect(self, path: Path) -> Inspection:
        found = spec.read(path)
        signature = spec.signature_of(found)
        spec.make(found, signature)
        labels = {"probabilities": tuple(map(str, found.classes))} if found.classes else {}
        if found.actions:
            labels["propensities"] = found.actions
        return Inspection(signature, labels)

    def load(self, bundle: Bundle, device: str = "cpu") -> Learner:
        only_cpu("Learners", device)
        found = spec.parsed(verified.read(bundle), bundle.manifest.model)
        return begin(spec.make(found, bundle.signature), bundle)
