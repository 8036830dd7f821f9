"""MLServer with its own runtime for scikit-learn: a joblib file, opened as it is."""

from __future__ import annotations

import json

import sklearn

from benchmarks.peers.mlserver import prepare as prepare_server
from benchmarks.peers.peer import Peer, Place


def prepare(place: Place) -> list[str]:
    command = prepare_server(place)
    model = {
        "name": "model",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(place.model)},
    }
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return command


PEER = Peer(
    "mlserver-sklearn",
    "MLServer's scikit-learn runtime",
    prepare,
    "mlserver-sklearn, the same joblib file, parallel_workers=0, access log, metrics and gzip off",
    goal=10,
    packages=("mlserver", "mlserver-sklearn", f"scikit-learn=={sklearn.__version__}"),
)
