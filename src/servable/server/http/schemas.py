"""Schemas: the shapes of bodies and answers, as JSON Schema, by the names that the table of routes gives them.

Written for readers and for tools that make clients or tests from the contract; nothing is validated against them here.
"""

from __future__ import annotations

from typing import Any, Final

from servable.domain.datatypes import DTYPES

Schema = dict[str, Any]


def _object(required: str = "", /, *, closed: bool = False, **properties: Any) -> Schema:
    """An object with these properties, of which the `required` ones, named in one string, must be there."""
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required.split()
    return schema | ({"additionalProperties": False} if closed else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
SIZE: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
SHAPE: Final = _list({"type": "integer", "minimum": -1})
DATATYPE: Final[Schema] = {"type": "string", "enum": list(DTYPES)}
PARAMETERS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"anyOf": [TEXT, {"type": "number"}, FLAG]},
    "description": "`timeout` in microseconds, `priority` (1 is the highest), and the model's own",
}
DURATION: Final = _object("count ns", count=SIZE, ns=SIZE)
TENSOR: Final = _object("name datatype shape", name=TEXT, datatype=DATATYPE, shape=SHAPE)
ROWS: Final[Schema] = _list({"type": "object", "description": "column to value"})
VALUES: Final[Schema] = {"description": "numbers, text or true and false, nested as the shape, or flat"}
BINARY: Final[Schema] = {"type": "string", "format": "binary"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 1}
SAMPLING: Final[dict[str, Any]] = {
    "max_tokens": COUNT,
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "frequency_penalty": {"type": "number", "minimum": -2, "maximum": 2},
    "presence_penalty": {"type": "number", "minimum": -2, "maximum": 2},
    "seed": WHOLE,
    "stop": {"anyOf": [TEXT, {**_list(TEXT), "maxItems": 4}]},
    "stream": {**FLAG, "description": "pieces as server-sent events, `data: [DONE]` at their end"},
    "stream_options": _object(include_usage=FLAG),
}
"""How a text is made: OpenAI's words."""
USAGE: Final = _object("prompt_tokens total_tokens", prompt_tokens=SIZE, completion_tokens=SIZE, total_tokens=SIZE)

SCHEMAS: Final[dict[str, Schema]] = {
    "Any": {},
    "Object": {"type": "object"},
    "Empty": {},
    "Error": _object(
        "error code",
        error={**TEXT, "description": "what is wrong, where, what was expected, what came, what to do"},
        code={**TEXT, "description": "its name, for programs"},
        faults={**_list(TEXT), "description": "every fault of the request"},
        example={"description": "a body that this model accepts"},
    ),
    "OpenAIError": _object(
        "error",
        error={
            "anyOf": [
                _object("message type param code", message=TEXT, type=TEXT, param={}, code=TEXT, faults=_list(TEXT)),
                TEXT,
            ],
            "description": "as OpenAI has it; a text where the route was not reached",
        },
        code=TEXT,
    ),
    "Server": _object("name version extensions", name=TEXT, version=TEXT, extensions=_list(TEXT)),
    "Live": _object("live", live=FLAG),
    "Ready": _object("ready", ready=FLAG, name=TEXT, version=TEXT),
    "Metadata": _object(
        "name versions platform inputs outputs",
        name=TEXT,
        versions=_list(TEXT),
        platform=TEXT,
        inputs=_list(TENSOR),
        outputs=_list(TENSOR),
    ),
    "Statistics": _object(
        "model_stats",
        model_stats=_list(
            _object(
                "name version inference_count execution_count inference_stats batch_stats",
                name=TEXT,
                version=TEXT,
                last_inference=SIZE,
                inference_count=SIZE,
                execution_count=SIZE,
                inference_stats={"type": "object", "additionalProperties": DURATION},
                batch_stats=_list(_object("batch_size", batch_size=SIZE, compute_infer=DURATION)),
            )
        ),
    ),
    "InferRequest": {
        "type": "object",
        "properties": {
            "id": TEXT,
            "parameters": PARAMETERS,
            "inputs": _list(
                _object(
                    "name datatype shape",
                    name=TEXT,
                    datatype=DATATYPE,
                    shape=_list(SIZE),
                    data=VALUES,
                    parameters=_object(binary_data_size=SIZE),
                )
            ),
            "outputs": _list(_object("name", name=TEXT, parameters=_object(binary_data=FLAG, classification=SIZE))),
            "rows": ROWS,
        },
        "anyOf": [{"required": ["inputs"]}, {"required": ["rows"]}],
    },
    "InferResponse": _object(
        "model_name model_version id",
        model_name=TEXT,
        model_version=TEXT,
        id=TEXT,
        outputs=_list(_object("name datatype shape", name=TEXT, datatype=DATATYPE, shape=SHAPE, data=VALUES)),
        rows=ROWS,
    ),
    "IndexRequest": _object(ready=FLAG),
    "Index": _list(
        _object(
            "name version state",
            name=TEXT,
            version=TEXT,
            state={"type": "string", "enum": ["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]},
            reason=TEXT,
        )
    ),
    "LoadRequest": _object(parameters={"type": "object"}),
    "ModelList": _object("models data", models=_list(TEXT), object=TEXT, data=_list(_object("id", id=TEXT))),
    "Completion": _object("model prompt", model=TEXT, prompt=TEXT, **SAMPLING),
    "Chat": _object(
        "model messages",
        model=TEXT,
        messages={**_list(_object("role content", role=TEXT, content={})), "minItems": 1},
        max_completion_tokens=COUNT,
        **SAMPLING,
    ),
    "Generated": _object(
        "id object created model choices",
        id=TEXT,
        object=TEXT,
        created=WHOLE,
        model=TEXT,
        model_version=TEXT,
        choices=_list(_object("index finish_reason", index=SIZE, finish_reason={}, text=TEXT, message={})),
        usage=USAGE,
    ),
    "Embeddings": _object(
        "model input",
        model=TEXT,
        input={"anyOf": [TEXT, _list(TEXT)]},
        encoding_format={"type": "string", "enum": ["float", "base64"]},
    ),
    "Vectors": _object(
        "object data model",
        object=TEXT,
        model=TEXT,
        model_version=TEXT,
        data=_list(_object("object index embedding", object=TEXT, index=SIZE, embedding={})),
        usage=USAGE,
    ),
    "Status": _object(
        "name ready model_version_status",
        name=TEXT,
        ready=FLAG,
        model_version_status=_list(
            _object(
                "version state status",
                version=TEXT,
                state={"type": "string", "enum": ["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                status=_object("error_code error_message", error_code=TEXT, error_message=TEXT),
            )
        ),
    ),
    "PredictRequest": {
        "type": "object",
        "properties": {
            "instances": {"type": "array", "description": "one item a row: a value, a list, or input name to value"},
            "inputs": {"description": "a whole tensor, or input name to tensor"},
            "signature_name": {**TEXT, "description": "taken, and without effect: a model has one signature"},
            "parameters": PARAMETERS,
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
    "PredictResponse": _object(
        "id model_name model_version",
        predictions={"type": "array"},
        outputs={},
        id=TEXT,
        model_name=TEXT,
        model_version=TEXT,
    ),
    "Invocation": {
        "type": "object",
        "properties": {
            "dataframe_split": _object("columns data", columns=_list(TEXT), data=_list({"type": "array"})),
            "dataframe_records": ROWS,
            "instances": {"type": "array"},
            "inputs": {},
            "params": PARAMETERS,
        },
        "oneOf": [{"required": [way]} for way in ("dataframe_split", "dataframe_records", "instances", "inputs")],
    },
    "Predictions": _object("predictions", predictions={}),
}
