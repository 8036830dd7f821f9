"""The Open Inference Protocol over gRPC: messages to Batch and back, raw or typed. No sockets, no server.

A GrpcCodec belongs to one loaded version and stands beside its HTTP codec, which judges and refuses for both.
Source: kserve/open-inference-protocol, open_inference_grpc.proto; triton-inference-server/common, grpc_service.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import DTYPES
from servable.domain.field import Fault
from servable.errors import InvalidInput
from servable.wire.classification import classify
from servable.wire.generated import open_inference_pb2 as pb
from servable.wire.inquiry import Inquiry, Wanted
from servable.wire.open_inference import Codec
from servable.wire.options import Options, read_options
from servable.wire.tensors import BadTensor, checked_shape, from_numbers, from_raw, size_of, to_raw

MEMO_SIZE: Final = 256
"""Distinct shapes of answers whose constant part is remembered."""

CONTENTS: Final = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype to the field of InferTensorContents that holds its values. FP16 has none: it travels raw."""

_NARROW: Final = frozenset({"INT8", "INT16", "UINT8", "UINT16"})
"""Datatypes whose values travel in a wider field, and may not fit."""


class Form(NamedTuple):
    """How the answer is to be written: which outputs (None: all), each maybe as classes; typed or raw."""

    wanted: tuple[Wanted, ...] | None = None
    typed: bool = False


def read_request(message: bytes) -> pb.ModelInferRequest:
    """The message. Raises InvalidInput if the bytes are none."""
    try:
        return pb.ModelInferRequest.FromString(message)
    except DecodeError as error:
        raise InvalidInput(
            "the message is not a valid inference.ModelInferRequest: its bytes are damaged or cut, or text is not UTF-8"
        ) from error


class GrpcCodec:
    """ModelInferRequest to Batch, Batch to ModelInferResponse, for one version of one model."""

    def __init__(self, codec: Codec, model: str, version: str) -> None:
        self._codec = codec
        self._signature = codec.signature
        self._fields = {field.name: field for field in codec.signature.inputs}
        self._all = tuple(Wanted(field) for field in codec.signature.outputs)
        self._model = model
        self._version = version
        self._heads: dict[Any, bytes] = {}

    # ---- requests

    def decode(self, message: pb.ModelInferRequest) -> tuple[Inquiry, Form]:
        """An Inquiry whose batch passes the signature, and how to answer. Raises InvalidInput with every fault."""
        faults: list[Fault] = []
        told: list[str] = []
        columns: dict[str, Array] = {}
        raws = message.raw_input_contents
        tensors = message.inputs
        if raws and len(raws) != len(tensors):
            faults.append(
                Fault("raw_input_contents", f"none, or one for each of {len(tensors)} inputs", f"{len(raws)}")
            )
        else:
            for index, tensor in enumerate(tensors):
                name = tensor.name
                try:
                    if name in columns:
                        raise BadTensor("each input once", "it twice")
                    columns[name] = self._array(tensor, raws[index] if raws else None)
                except BadTensor as error:
                    faults.append(Fault(name or f"inputs[{index}]", error.expected, error.got))
        options, form = Options(message.id), _PLAIN
        try:
            if message.parameters:
                parameters = _parameters(message.parameters)
                options = read_options(message.id, parameters)
                form = Form(None, typed=parameters.get("binary_data_output") is False)
            if message.outputs:
                form = form._replace(wanted=self._wanted(message.outputs))
        except InvalidInput as error:
            told = [str(fault) for fault in error.detail["faults"]]
        if faults or told:
            raise self._codec.refusal(faults, told)
        if form.typed:
            self._check_typed(form.wanted or self._all)
        return self._codec.checked(columns, options, form.wanted), form

    def _array(self, tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None) -> Array:
        """One input's values. Raises BadTensor."""
        datatype = tensor.datatype
        if datatype not in DTYPES:
            raise BadTensor(f"'datatype' to be one of {', '.join(DTYPES)}", f"{datatype!r:.80}")
        shape = checked_shape(list(tensor.shape), self._codec.max_elements)
        if tensor.parameters and "shared_memory_region" in tensor.parameters:
            raise BadTensor("values in the message", "a region of shared memory, which is not offered here")
        if raw is not None:
            if tensor.HasField("contents"):
                raise BadTensor("'contents' or 'raw_input_contents'", "both")
            return from_raw(memoryview(raw), datatype, shape)
        return _typed(tensor.contents, datatype, shape)

    def _wanted(self, outputs: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor]) -> tuple[Wanted, ...]:
        """The outputs that are asked for. Raises InvalidInput with every fault."""
        faults: list[str] = []
        wanted: dict[str, Wanted] = {}
        names = ", ".join(repr(field.name) for field in self._signature.outputs)
        for output in outputs:
            field = self._signature.output(output.name)
            parameters = _parameters(output.parameters) if output.parameters else {}
            classes = parameters.get("classification", 0)
            if field is None:
                faults.append(f"'outputs': expected one of {names}, got {output.name!r:.80}")
            elif output.name in wanted:
                faults.append(f"'outputs': expected each output once, got {output.name!r} twice")
            elif type(classes) is not int or classes < 0:
                faults.append(f"{output.name!r}: expected 'classification' to be a whole number, got {classes!r:.80}")
            elif classes and field.datatype == "BYTES":
                faults.append(f"{output.name!r}: expected no 'classification': this output holds text, got {classes}")
            elif "shared_memory_region" in parameters:
                faults.append(f"{output.name!r}: expected no region of shared memory: they are not offered here")
            else:
                wanted[output.name] = Wanted(field, binary=True, classes=classes)
        if faults:
            raise InvalidInput("the requested outputs are not valid", faults=faults)
        return tuple(wanted.values())

    def _check_typed(self, wanted: Sequence[Wanted]) -> None:
        raw_only = [each.field.name for each in wanted if each.field.datatype not in CONTENTS and not each.classes]
        if raw_only:
            faults = [
                Fault(name, "a raw answer: FP16 has no typed contents", "'binary_data_output' false")
                for name in raw_only
            ]
            raise self._codec.refusal(faults)

    # ---- answers

    def encode(self, request_id: str, answer: Batch, form: Form) -> bytes:
        """The ModelInferResponse, as bytes. Raises InvalidInput or ModelFailed.

        Two messages behind one another are one message with the fields of both: the names, datatypes and shapes are
        encoded once for all answers of the same shapes.
        """
        wanted = form.wanted or self._all
        if answer.parameters is not None or form.typed or any(each.classes for each in wanted):
            return self._encode_slowly(request_id, answer, wanted, typed=form.typed)
        arrays = [answer.columns[each.field.name] for each in wanted]
        key = (*[each.field.name for each in form.wanted or ()], *[array.shape for array in arrays])
        head = self._heads.get(key)
        if head is None:
            head = self._head(wanted, arrays)
            if len(self._heads) >= MEMO_SIZE:
                self._heads.clear()
            self._heads[key] = head
        raws = [to_raw(array) for array in arrays]
        return head + pb.ModelInferResponse(id=request_id, raw_output_contents=raws).SerializeToString()

    def _head(self, wanted: Sequence[Wanted], arrays: Sequence[Array]) -> bytes:
        head = pb.ModelInferResponse(model_name=self._model, model_version=self._version)
        for each, array in zip(wanted, arrays, strict=True):
            head.outputs.add(name=each.field.name, datatype=each.field.datatype, shape=array.shape)
        return head.SerializeToString()

    def _encode_slowly(self, request_id: str, answer: Batch, wanted: Sequence[Wanted], *, typed: bool) -> bytes:
        message = pb.ModelInferResponse(model_name=self._model, model_version=self._version, id=request_id)
        for name, value in (answer.parameters or {}).items():
            setattr(message.parameters[name], PARAMETERS.get(type(value), "string_param"), _told(value))
        for field, _, classes in wanted:
            array = answer.columns[field.name]
            datatype = field.datatype
            if classes:
                labels = self._codec.labels.get(field.name)
                array = classify(array, classes, labels, batched=self._signature.batched)
                datatype = "BYTES"
            output = message.outputs.add(name=field.name, datatype=datatype, shape=array.shape)
            if typed:
                getattr(output.contents, CONTENTS[datatype]).extend(_plain(array))
            else:
                message.raw_output_contents.append(to_raw(array))
        return message.SerializeToString()


PARAMETERS: Final = {bool: "bool_param", int: "int64_param", float: "double_param"}
"""Fields of a parameter by the type of its value; what is no plain value is told as text."""


def _told(value: Any) -> Any:
    return value if type(value) in PARAMETERS else str(value)


_PLAIN: Final = Form()


def _parameters(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    """Parameters as plain values; None, which no parameter may be, for one that is empty."""
    plain = {}
    for name, parameter in parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        plain[name] = getattr(parameter, kind) if kind else None
    return plain


def _typed(contents: pb.InferTensorContents, datatype: str, shape: tuple[int, ...]) -> Array:
    """The values in the one field of `contents` that is meant for the datatype. Raises BadTensor."""
    home = CONTENTS.get(datatype)
    if home is None:
        raise BadTensor(f"{datatype} in 'raw_input_contents': it has no typed contents", "none")
    filled = [field.name for field, _ in contents.ListFields()]
    if filled not in ([], [home]):
        raise BadTensor(f"the values of {datatype} in '{home}'", f"some in {', '.join(filled)}")
    values = getattr(contents, home)
    if datatype == "BYTES":
        array = np.array([*map(_text, values), None], object)[:-1]
    elif datatype in _NARROW:
        return from_numbers(np.fromiter(values, np.int64, len(values)), datatype, shape)
    else:
        array = np.fromiter(values, DTYPES[datatype], len(values))
    if array.size != size_of(shape):
        raise BadTensor(f"{size_of(shape)} values for shape {list(shape)}", f"{array.size} values")
    return array.reshape(shape)


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _plain(array: Array) -> list[Any]:
    """Values for typed contents; text as bytes, missing text as empty."""
    flat = array.ravel()
    if flat.dtype != object:
        return flat.tolist()
    return [value if isinstance(value, bytes) else b"" if value is None else str(value).encode() for value in flat]
