"""MLflow's model scoring server."""

from __future__ import annotations

import subprocess

from benchmarks.dialect import PlainJson
from benchmarks.peers.peer import Peer, Place


def prepare(place: Place) -> list[str]:
    saved = place.folder / "saved"
    subprocess.run(
        [str(place.python), "-m", "benchmarks.peers.apps.mlflow", str(saved), str(place.model)],
        env=PEER.environment(place),
        check=True,
        capture_output=True,
    )
    return [
        place.tool("mlflow"), "models", "serve", "--model-uri", str(saved), "--env-manager", "local", "--workers", "1",
        "--host", "127.0.0.1", "--port", str(place.port),
    ]  # fmt: skip


PEER = Peer(
    "mlflow",
    "MLflow",
    prepare,
    "pyfunc model on onnxruntime, one worker",
    goal=30,
    packages=("mlflow", "onnxruntime"),
    dialect=PlainJson("/invocations", "inputs", under="predictions"),
)
