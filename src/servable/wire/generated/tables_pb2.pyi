from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LookupRequest(_message.Message):
    __slots__ = ("table", "keys", "inputs")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    table: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, table: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., inputs: _Optional[_Iterable[str]] = ...) -> None: ...

class LookupResponse(_message.Message):
    __slots__ = ("table", "model_name", "model_version", "generation", "made_at", "age_s", "stale", "rows", "computed")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_FIELD_NUMBER: _ClassVar[int]
    table: str
    model_name: str
    model_version: str
    generation: int
    made_at: str
    age_s: float
    stale: bool
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    computed: int
    def __init__(self, table: _Optional[str] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., generation: _Optional[int] = ..., made_at: _Optional[str] = ..., age_s: _Optional[float] = ..., stale: _Optional[bool] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., computed: _Optional[int] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("found", "outputs")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    found: bool
    outputs: str
    def __init__(self, found: _Optional[bool] = ..., outputs: _Optional[str] = ...) -> None: ...
