"""Dialect: how a server is spoken to. A request's bytes from an input array, an answer's numbers from its bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from benchmarks.case import Array

JSON = {"Content-Type": "application/json"}


class Dialect(Protocol):
    """One way to ask over HTTP. `path` may hold `{model}`, the model's name."""

    @property
    def path(self) -> str: ...

    def request(self, source: str, x: Array) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers that ask for the outputs of input `source` = `x`."""
        ...

    def answer(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """Outputs by name. `headers` are the answer's, in lower case."""
        ...


@dataclass(frozen=True)
class OpenInference:
    """V2 of the Open Inference Protocol in JSON, data flat."""

    path: str = "/v2/models/{model}/infer"

    def request(self, source: str, x: Array) -> tuple[bytes, Mapping[str, str]]:
        tensor = {"name": source, "shape": list(x.shape), "datatype": "FP32", "data": short(x.ravel())}
        return compact({"inputs": [tensor]}), JSON

    def answer(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        del headers
        return {tensor["name"]: tensor["data"] for tensor in json.loads(body)["outputs"]}


@dataclass(frozen=True)
class OpenInferenceBinary:
    """V2 with the binary tensor extension, in both directions."""

    path: str = "/v2/models/{model}/infer"

    def request(self, source: str, x: Array) -> tuple[bytes, Mapping[str, str]]:
        tensor = {
            "name": source, "shape": list(x.shape), "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes},
        }  # fmt: skip
        head = compact({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        return head + x.tobytes(), headers

    def answer(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        start = int(headers["inference-header-content-length"])
        outputs = {}
        for tensor in json.loads(body[:start])["outputs"]:
            size = tensor["parameters"]["binary_data_size"]
            dtype = {"FP32": np.float32, "INT64": np.int64}[tensor["datatype"]]
            outputs[tensor["name"]] = np.frombuffer(body[start : start + size], dtype)
            start += size
        return outputs


@dataclass(frozen=True)
class PlainJson:
    """A matrix under one key, outputs as an object of matrices, perhaps under a key: spoken by peers without V2."""

    path: str
    key: str
    under: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)

    def request(self, source: str, x: Array) -> tuple[bytes, Mapping[str, str]]:
        del source
        return compact({self.key: [short(row) for row in x]}), self.headers

    def answer(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        del headers
        parsed = json.loads(body)
        return dict(parsed[self.under] if self.under else parsed)


def short(values: Array) -> list[float]:
    """The values as the shortest decimals that read back as the same float32: what a client would write."""
    return [float(str(value)) for value in values.astype(np.float32)]


def compact(document: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(document, separators=(",", ":")).encode()
