"""BentoML."""

from __future__ import annotations

from benchmarks.dialect import PlainJson
from benchmarks.peers.peer import Peer, Place

SETTINGS = """\
services:
  OnnxService:
    logging: {access: {enabled: false}}
    metrics: {enabled: false}
    tracing: {exporter_type: null}
"""


def prepare(place: Place) -> list[str]:
    settings = place.folder / "settings.yaml"
    settings.write_text(SETTINGS)
    return [
        "env", f"BENTOML_CONFIG={settings}", place.tool("bentoml"), "serve",
        "benchmarks.peers.apps.bentoml:OnnxService", "--host", "127.0.0.1",
        "--port", str(place.port),
    ]  # fmt: skip


PEER = Peer(
    "bentoml",
    "BentoML",
    prepare,
    "service on onnxruntime, one worker, access log, metrics and tracking off; its batching was slower",
    goal=45,
    packages=("bentoml", "onnxruntime"),
    dialect=PlainJson("/predict", "x"),
    env={"BENTOML_DO_NOT_TRACK": "True"},
)
