"""TensorFlow Serving's and KServe's V1 routes: the list, the status, the metadata, and `:predict`.

Where these and OpenAI's differ in shape the answers are merged: each client finds the keys it reads. Bodies are read
and written by `wire/tensorflow_v1.py`.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from servable.domain.field import Field
from servable.engine.plan import State
from servable.engine.routing.spares import answerer
from servable.engine.serving import Serving
from servable.errors import NotFound, NotReady, ServableError, Unsupported
from servable.server.http.guard import caller_of
from servable.server.http.infer import asked
from servable.server.http.parts import Handlers, Parts
from servable.server.http.replies import GONE, body_of, reply, unless_gone
from servable.wire import tensorflow_v1
from servable.wire.tensorflow_v1 import Ask

STATES: Final = {"READY": "AVAILABLE", "LOADING": "LOADING", "UNLOADING": "UNLOADING", "UNAVAILABLE": "END"}
"""Our states in TensorFlow Serving's words (get_model_status.proto)."""

DTYPES: Final = {
    "BOOL": "DT_BOOL", "UINT8": "DT_UINT8", "UINT16": "DT_UINT16", "UINT32": "DT_UINT32", "UINT64": "DT_UINT64",
    "INT8": "DT_INT8", "INT16": "DT_INT16", "INT32": "DT_INT32", "INT64": "DT_INT64",
    "FP16": "DT_HALF", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING",
}  # fmt: skip
"""Datatypes in TensorFlow's words (types.proto)."""


def handlers(parts: Parts) -> Handlers:
    """The handlers of the table V1."""
    v1 = _V1(parts)
    versioned: Handlers = {
        "status": v1.status,
        "v1_metadata": v1.metadata,
        "predict": v1.predict,
        "classify": _unsupported,
        "regress": _unsupported,
    }
    return {"list_models": v1.list_models} | {
        f"{name}{suffix}": handler for name, handler in versioned.items() for suffix in ("", "_version", "_label")
    }


class _V1:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def list_models(self, request: Request) -> Response:
        caller = caller_of(request)
        names = sorted({state.name for state in self._parts.host.states() if caller.sees(state.name)})
        return reply({"models": names, "object": "list", "data": [self._model_card(name) for name in names]})

    def _model_card(self, name: str) -> dict[str, Any]:
        """A model as OpenAI's clients list it; `created` is when its oldest version here was loaded."""
        entry = self._parts.host.table.get(name)
        loaded = [int(serving.loaded_at) for serving in entry.versions.values()] if entry else []
        return {"id": name, "object": "model", "created": min(loaded, default=0), "owned_by": "servable"}

    async def status(self, request: Request) -> Response:
        """200 where a version answers; 503 with the same body where none does, which probes understand."""
        name = request.path_params["model"]
        wanted = request.path_params.get("version")
        entry = self._parts.host.table.get(name)
        if entry is not None and wanted is not None:
            wanted = entry.aliases.get(wanted, wanted)
        states = [s for s in self._parts.host.states() if s.name == name and wanted in {None, s.version}]
        if not states:
            self._parts.router.pick(name, wanted)
            raise NotFound(f"model {name!r} has no version {wanted!r}")
        ready = any(state.state == "READY" for state in states)
        versions = [_version_status(state) for state in states]
        body = {"name": name, "ready": ready, "model_version_status": versions, **self._model_card(name)}
        if ready:
            return reply(body)
        return reply({"error": f"model {name!r} is not ready", "code": NotReady.code, **body}, NotReady.status)

    async def metadata(self, request: Request) -> Response:
        serving = self._parts.router.pick(request.path_params["model"], request.path_params.get("version"))
        signature = {
            "inputs": {field.name: _tensor_info(field) for field in serving.signature.inputs},
            "outputs": {field.name: _tensor_info(field) for field in serving.signature.outputs},
            "method_name": "tensorflow/serving/predict",
        }
        return reply(
            {
                "model_spec": {"name": serving.name, "signature_name": "", "version": serving.version},
                "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
            }
        )

    async def predict(self, request: Request) -> Response:
        parts = self._parts
        body = await body_of(request, parts.settings)
        name, version = request.path_params["model"], request.path_params.get("version")
        headers = asked(request.headers.raw)
        request_id = headers.request_id.decode("latin-1")[:256] or parts.inference.new_id()
        serving, ask = self._decode(name, version, request_id, headers.unit.decode("latin-1")[:256], body)
        options = ask.options if ask.options.id else ask.options._replace(id=request_id)
        within_s = parts.inference.deadline(options, headers.deadline)
        try:
            answer = await unless_gone(request, parts.inference.ask(serving, ask.batch, options, within_s))
        except ClientDisconnect:
            return Response(status_code=GONE)
        told = tensorflow_v1.encode(answer, serving.signature, by_rows=ask.by_rows)
        return reply({**told, "id": options.id, **answerer(serving, answer)})

    def _decode(self, name: str, version: str | None, request_id: str, unit: str, body: bytes) -> tuple[Serving, Ask]:
        """By the version that the request's own id chooses, once the body has told it."""
        serving = self._parts.router.pick(name, version, request_id, unit)
        try:
            ask = tensorflow_v1.decode(body, serving.signature, self._parts.settings.max_elements)
            chosen = self._parts.router.pick(name, version, ask.options.id, unit) if ask.options.id else serving
            if chosen is not serving:
                serving, ask = chosen, tensorflow_v1.decode(body, chosen.signature, self._parts.settings.max_elements)
        except ServableError as error:
            serving.stats.failed(error.code)
            raise
        return serving, ask


def _version_status(state: State) -> dict[str, Any]:
    status = {"error_code": "UNAVAILABLE" if state.reason else "OK", "error_message": state.reason}
    return {"version": state.version, "state": STATES.get(state.state, "UNKNOWN"), "status": status}


def _tensor_info(field: Field) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in field.shape]
    return {
        "name": field.name,
        "dtype": DTYPES[field.datatype],
        "tensor_shape": {"dim": dims, "unknown_rank": False},
    }


async def _unsupported(request: Request) -> Response:
    name = request.path_params["model"]
    raise Unsupported(f"tf.Example is not spoken here: send rows to /v1/models/{name}:predict")
