"""Describe: what the protocol tells of a server and its models, as plain dicts. Pure; the REST and the gRPC door alike.

Shapes: kserve/open-inference-protocol; triton-inference-server/server, docs/protocol/extension_*.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from servable.domain.field import Field
from servable.engine.plan import State
from servable.engine.policy import LARGEST
from servable.engine.process.remote import RemoteModel
from servable.engine.serving import Serving
from servable.version import __version__
from servable.wire.metadata import contract

EXTENSIONS: Final = (
    "classification",
    "model_repository",
    "model_configuration",
    "statistics",
    "binary_tensor_data",
    "parameters",
    "schedule_policy",
)
"""Triton's extensions that are spoken here."""


def server() -> dict[str, Any]:
    """Server metadata."""
    return {"name": "servable", "version": __version__, "extensions": list(EXTENSIONS)}


def metadata(serving: Serving, versions: Sequence[str]) -> dict[str, Any]:
    """Model metadata: the contract of one version, beside all `versions` of its name that answer. -1 is any size."""
    return contract(serving.name, sorted(versions, key=_by_number), serving.bundle.manifest.platform, serving.signature)


def config(serving: Serving) -> dict[str, Any]:
    """Triton's model configuration. `dims` are without the row axis where `max_batch_size` is above 0."""
    signature = serving.signature
    manifest = serving.bundle.manifest
    told: dict[str, Any] = {
        "name": serving.name,
        "platform": manifest.platform,
        "backend": manifest.format,
        "max_batch_size": LARGEST if signature.batched else 0,
        "input": [
            _configured(field, batched=signature.batched) | {"optional": field.values == "missing"}
            for field in signature.inputs
        ],
        "output": [_configured(field, batched=signature.batched) for field in signature.outputs],
        "instance_group": [{"name": serving.name, "kind": "KIND_CPU", "count": 1}],
        "default_model_filename": manifest.model,
        "parameters": {
            name: {"string_value": text}
            for name, text in (("digest", serving.bundle.digest), *sorted(manifest.libraries.items()))
        },
        "model_transaction_policy": {"decoupled": False},
    }
    if isinstance(serving.lane.model, RemoteModel):
        told["parameters"]["sandbox"] = {"string_value": "; ".join(serving.lane.model.layers)}
    if signature.batched:
        told["dynamic_batching"] = {"preferred_batch_size": [serving.lane.cap], "max_queue_delay_microseconds": 0}
    return told


def statistics(counted: Iterable[Mapping[str, Any]], name: str = "", version: str = "") -> dict[str, Any]:
    """Statistics of every version, of those of a name, or of one. `counted` is what `Repository.statistics` gives."""
    parts: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for part in counted:
        if name in {"", part["name"]} and version in {"", part["version"]}:
            parts.setdefault((part["name"], part["version"]), []).append(part)
    return {"model_stats": [_counted(*key, parts[key]) for key in sorted(parts)]}


def index(states: Iterable[State], *, ready: bool = False) -> list[dict[str, str]]:
    """The repository's index: every version, its state, and why it is not ready; `ready`: only those that are."""
    return [
        {"name": state.name, "version": state.version, "state": state.state, "reason": state.reason}
        for state in states
        if not ready or state.state == "READY"
    ]


def _configured(field: Field, *, batched: bool) -> dict[str, Any]:
    datatype = "STRING" if field.datatype == "BYTES" else field.datatype
    return {
        "name": field.name,
        "data_type": f"TYPE_{datatype}",
        "dims": list(field.shape[1:] if batched else field.shape),
    }


def _counted(name: str, version: str, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One version's statistics, over all doors. Waiting is counted by the request, computing by the model call."""

    def total(key: str) -> int:
        return sum(part[key] for part in parts)

    requests = total("success")
    calls = total("executions")
    batches: dict[int, tuple[int, int]] = {}
    for part in parts:
        for size, (count, ns) in part["batch_sizes"].items():
            known = batches.get(int(size), (0, 0))
            batches[int(size)] = (known[0] + count, known[1] + ns)
    return {
        "name": name,
        "version": version,
        "last_inference": max(part["last_ms"] for part in parts),
        "inference_count": total("rows"),
        "execution_count": calls,
        "inference_stats": {
            "success": _duration(requests, total("request_ns")),
            "fail": _duration(sum(sum(part["failure"].values()) for part in parts), 0),
            "queue": _duration(requests, total("queue_ns")),
            "compute_input": _duration(calls, total("input_ns")),
            "compute_infer": _duration(calls, total("compute_ns")),
            "compute_output": _duration(calls, total("output_ns")),
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": _duration(count, 0),
                "compute_infer": _duration(count, ns),
                "compute_output": _duration(count, 0),
            }
            for size, (count, ns) in sorted(batches.items())
        ],
        "memory_usage": [],
    }


def _duration(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}


def _by_number(version: str) -> tuple[int, int | str]:
    """Numbers by size, before names."""
    return (0, int(version)) if version.isascii() and version.isdigit() else (1, version)
