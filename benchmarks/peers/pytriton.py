"""Triton's HTTP door with a Python model (nvidia-pytriton)."""

from __future__ import annotations

import sysconfig

from benchmarks.peers.peer import Peer, Place


def prepare(place: Place) -> list[str]:
    # Triton's stub is linked against libpython and would take the system's, whose version need not be our Python's.
    libraries = f"LD_LIBRARY_PATH={sysconfig.get_config_var('LIBDIR')}"
    ports = [str(place.port), str(place.grpc_port)]
    return ["env", libraries, str(place.python), "-m", "benchmarks.peers.apps.pytriton", *ports]


PEER = Peer(
    "pytriton",
    "Triton (pytriton)",
    prepare,
    "Python model on onnxruntime, dynamic batching up to 64 within 2 ms, metrics off",
    goal=8,
    packages=("nvidia-pytriton", "onnxruntime"),
)
