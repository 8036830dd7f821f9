"""The Open Inference Protocol (V2) over HTTP: bodies of JSON, or of JSON with binary tensors behind it.

A Codec belongs to one loaded version. Here requests are read, and refused with every fault; bodies of the common forms
take the short ways of `flat_json.py` and `known_headers.py`. How answers are written stands in `answers.py`.
Source: kserve/open-inference-protocol, inference_rest.md; triton-inference-server/server, extension_binary_data.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import DTYPES
from servable.domain.field import Fault, Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput
from servable.wire import rows as row_form
from servable.wire.answers import Answers
from servable.wire.flat_json import FlatJson
from servable.wire.inquiry import NO_OPTIONS, Inquiry, Wanted
from servable.wire.known_headers import KnownHeaders
from servable.wire.options import Options, read_options
from servable.wire.tensors import BadTensor, checked_shape, from_json, from_raw, size_of


class Codec:
    """Bytes to Batch and back for one version of one model."""

    def __init__(
        self,
        signature: Signature,
        model: str,
        version: str,
        labels: Mapping[str, tuple[str, ...]] | None = None,
        max_elements: int = 2**25,
    ) -> None:
        self.signature = signature
        self.labels = labels or {}
        self.max_elements = max_elements
        self._fields = {field.name: field for field in signature.inputs}
        self._flat = FlatJson.of(signature)
        self._headers = KnownHeaders()
        self._all_binary = tuple(Wanted(field, binary=True) for field in signature.outputs)
        self.encode = Answers(signature, model, version, self.labels).encode

    def decode(self, body: bytes, header_length: int | None = None) -> Inquiry:
        """A request body to an Inquiry whose batch passes the signature. Raises InvalidInput with every fault."""
        if header_length is None:
            flat = self._flat.read(body) if self._flat is not None else None
            if flat is not None:
                batch, request_id = flat
                return Inquiry(batch, Options(request_id) if request_id else NO_OPTIONS)
            return self._decode_document(self._parse(body), memoryview(b""))
        if header_length == 0:
            return self._decode_raw(body)
        if header_length < 0 or header_length > len(body):
            raise self.refusal([Fault("Inference-Header-Content-Length", f"0 to {len(body)}", str(header_length))])
        known = self._headers.read(body, header_length)
        if known is not None:
            return known
        head = body[:header_length]
        return self._decode_document(self._parse(head), memoryview(body)[header_length:], head)

    def read(self, body: bytes) -> tuple[Inquiry, dict[str, Any]]:
        """The same of JSON alone, and the whole document, for what it holds beside the request."""
        document = self._parse(body)
        return self._decode_document(document, memoryview(b"")), document

    def _parse(self, body: bytes) -> dict[str, Any]:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise self.refusal([Fault("body", "valid JSON", str(error))]) from error
        if not isinstance(document, dict):
            raise self.refusal([Fault("body", "a JSON object", type(document).__name__)])
        return document

    def _decode_document(self, document: dict[str, Any], tail: memoryview, head: bytes | None = None) -> Inquiry:
        """The general way, which reports every fault."""
        if "rows" in document and "inputs" not in document:
            return self._decode_rows(document)
        faults: list[Fault] = []
        columns: dict[str, Array] = {}
        binary: list[str] = []
        position = 0
        tensors = document.get("inputs")
        if not isinstance(tensors, list):
            raise self.refusal(
                [Fault("inputs", "a list of tensors, or 'rows'", "nothing" if tensors is None else "no list")]
            )
        for index, tensor in enumerate(tensors):
            named = isinstance(tensor, dict) and isinstance(tensor.get("name"), str)
            where = tensor["name"] if named else f"inputs[{index}]"
            try:
                name, datatype, shape, size = self._tensor_head(tensor)
                if name in columns:
                    raise BadTensor("each input once", "it twice")
                if size is None:
                    columns[name] = from_json(tensor["data"], datatype, shape)
                else:
                    if position + size > len(tail):
                        raise BadTensor(
                            f"{size} bytes of binary data", f"{max(len(tail) - position, 0)} bytes in the body"
                        )
                    columns[name] = from_raw(tail[position : position + size], datatype, shape)
                    position += size
                    binary.append(name)
            except BadTensor as error:
                faults.append(Fault(where, error.expected, error.got))
        if not faults and position != len(tail):
            faults.append(Fault("body", f"{position} bytes of binary data", f"{len(tail)} bytes"))
        try:
            parameters = document.get("parameters")
            if parameters is not None and not isinstance(parameters, dict):
                raise InvalidInput("", faults=["'parameters': expected an object"])
            options = read_options(document.get("id"), parameters)
            wanted = self._wanted(document.get("outputs"), parameters)
        except InvalidInput as error:
            raise self.refusal(faults, [str(fault) for fault in error.detail.get("faults", ())]) from error
        if faults:
            raise self.refusal(faults)
        inquiry = self.checked(columns, options, wanted)
        if head is not None:
            self._headers.remember(head, inquiry, self._fields, binary)
        return inquiry

    def _tensor_head(self, tensor: Any) -> tuple[str, str, tuple[int, ...], int | None]:
        """Name, datatype, shape, and the size of the binary data or None. Raises BadTensor."""
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise BadTensor("an object with 'name', 'datatype', 'shape' and 'data'", f"{tensor!r:.80}")
        datatype = tensor.get("datatype")
        if not isinstance(datatype, str) or datatype not in DTYPES:
            raise BadTensor(f"'datatype' to be one of {', '.join(DTYPES)}", f"{datatype!r:.80}")
        shape = checked_shape(tensor.get("shape"), self.max_elements)
        parameters = tensor.get("parameters") or {}
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            if "data" not in tensor:
                raise BadTensor("'data', or 'binary_data_size' in 'parameters'", "neither")
            return tensor["name"], datatype, shape, None
        if "data" in tensor:
            raise BadTensor("'data' or 'binary_data_size'", "both")
        if type(size) is not int or size < 0:
            raise BadTensor("'binary_data_size' to be a whole number, 0 or more", f"{size!r:.80}")
        return tensor["name"], datatype, shape, size

    def _decode_raw(self, body: bytes) -> Inquiry:
        """A body that is one tensor's bytes and nothing else: a model with a single input, one row."""
        if len(self.signature.inputs) != 1:
            names = ", ".join(repr(field.name) for field in self.signature.inputs)
            raise self.refusal([Fault("body", f"JSON that names the inputs ({names})", "raw bytes, which name none")])
        field = self.signature.inputs[0]
        shape = [1 if self.signature.batched else size for size in field.shape[:1]] + list(field.shape[1:])
        try:
            if field.datatype == "BYTES":
                return self._raw_inquiry(field, np.array([_text_or_bytes(body)], object).reshape([1] * len(shape)))
            if shape.count(-1) > 1:
                raise BadTensor("at most one axis of any size for raw bytes", str(list(field.shape)))
            if -1 in shape:
                known = size_of(size for size in shape if size != -1) * field.dtype.itemsize
                shape[shape.index(-1)] = len(body) // known if known else 0
            return self._raw_inquiry(field, from_raw(memoryview(body), field.datatype, tuple(shape)))
        except BadTensor as error:
            raise self.refusal([Fault(field.name, error.expected, error.got)]) from error

    def _raw_inquiry(self, field: Field, array: Array) -> Inquiry:
        return self.checked({field.name: array}, NO_OPTIONS, self._all_binary)

    def _decode_rows(self, document: dict[str, Any]) -> Inquiry:
        columns, faults = row_form.columns_of(document["rows"], self.signature, self.max_elements)
        if faults:
            raise self.refusal(faults)
        options = read_options(document.get("id"), document.get("parameters"))
        return self.checked(columns, options, None)._replace(by_rows=True)

    def checked(self, columns: dict[str, Array], options: Options, wanted: tuple[Wanted, ...] | None) -> Inquiry:
        """The Inquiry, if these columns pass the signature. Raises InvalidInput with every fault."""
        signature = self.signature
        batch = Batch(columns, _rows(columns) if signature.batched else 1, options.parameters)
        faults = signature.check(batch)
        if faults:
            completed = signature.complete(batch)
            faults = signature.check(completed) if completed is not batch else faults
            if faults:
                raise self.refusal(faults)
            batch = completed
        return Inquiry(batch, options, wanted)

    def _wanted(self, outputs: Any, parameters: Mapping[str, Any] | None) -> tuple[Wanted, ...] | None:
        everything = bool(parameters and parameters.get("binary_data_output"))
        if not outputs:
            return self._all_binary if everything else None
        if not isinstance(outputs, list):
            raise InvalidInput("", faults=["'outputs': expected a list of objects with 'name'"])
        wanted = []
        names = ", ".join(repr(field.name) for field in self.signature.outputs)
        for output in outputs:
            field = self.signature.output(output.get("name", "")) if isinstance(output, dict) else None
            if field is None:
                raise InvalidInput("", faults=[f"'outputs': expected one of {names}, got {output!r:.80}"])
            own = output.get("parameters") or {}
            classes = own.get("classification", 0)
            if type(classes) is not int or classes < 0:
                raise InvalidInput("", faults=[f"'classification': expected a whole number, got {classes!r:.80}"])
            wanted.append(Wanted(field, bool(own.get("binary_data", everything)), classes))
        return tuple(wanted)

    def refusal(self, faults: list[Fault], more: list[str] | None = None) -> InvalidInput:
        """The error for these faults, with a body that would work."""
        told = [str(fault) for fault in faults] + (more or [])
        return InvalidInput(
            f"the request breaks the contract of the model: {'; '.join(told)}", faults=told, example=self.example()
        )

    def example(self) -> dict[str, Any]:
        """A request body that this model accepts."""
        batch = self.signature.example()
        return {
            "inputs": [
                {
                    "name": field.name,
                    "datatype": field.datatype,
                    "shape": list(batch[field.name].shape),
                    "data": batch[field.name].ravel().tolist(),
                }
                for field in self.signature.inputs
            ]
        }


def _rows(columns: dict[str, Array]) -> int:
    for array in columns.values():
        return array.shape[0] if array.ndim else 0
    return 0


def _text_or_bytes(body: bytes) -> str | bytes:
    try:
        return bytes(body).decode()
    except UnicodeDecodeError:
        return bytes(body)
