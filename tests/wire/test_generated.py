"""The generated messages: their numbers against the stock clients', their own pool, every protobuf that we allow."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from grpc_health.v1 import health_pb2 as stock_health
from tritonclient.grpc import model_config_pb2 as stock_config
from tritonclient.grpc import service_pb2 as stock

from servable.wire.generated import health_pb2
from servable.wire.generated import open_inference_pb2 as pb

ONLY_OURS = {("ModelMetadataResponse", "properties"), ("ModelMetadataResponse", "PropertiesEntry")}
"""In the Open Inference Protocol, and not in Triton's: see protobuf's own rule that unknown fields are skipped."""


def _shape(field: FieldDescriptor) -> tuple:
    other = field.message_type or field.enum_type
    return (
        field.number,
        field.type,
        field.is_repeated,
        other.full_name if other else None,
        field.containing_oneof.name if field.containing_oneof else None,
    )


def _compare(ours: Descriptor, theirs: Descriptor) -> None:
    for field in ours.fields:
        if (ours.name, field.name) not in ONLY_OURS:
            assert _shape(field) == _shape(theirs.fields_by_name[field.name]), field.full_name
    for nested in ours.nested_types:
        if (ours.name, nested.name) not in ONLY_OURS:
            _compare(nested, theirs.nested_types_by_name[nested.name])
    for enum in ours.enum_types:
        _compare_enums(enum, theirs.enum_types_by_name[enum.name])


def _compare_enums(ours: EnumDescriptor, theirs: EnumDescriptor) -> None:
    assert {v.name: v.number for v in ours.values} == {v.name: v.number for v in theirs.values}, ours.full_name


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (pb.DESCRIPTOR, [stock.DESCRIPTOR, stock_config.DESCRIPTOR]),
        (health_pb2.DESCRIPTOR, [stock_health.DESCRIPTOR]),
    ],
    ids=["open_inference", "health"],
)
def test_every_number_is_the_stock_client_s(ours: FileDescriptor, theirs: list[FileDescriptor]):
    messages = {name: found for file in theirs for name, found in file.message_types_by_name.items()}
    enums = {name: found for file in theirs for name, found in file.enum_types_by_name.items()}
    for name, message in ours.message_types_by_name.items():
        _compare(message, messages[name])
    for name, enum in ours.enum_types_by_name.items():
        _compare_enums(enum, enums[name])


def test_every_method_is_there_with_its_messages():
    def methods(file: FileDescriptor, service: str) -> dict:
        return {
            method.name: (
                method.input_type.full_name,
                method.output_type.full_name,
                method.client_streaming,
                method.server_streaming,
            )
            for method in file.services_by_name[service].methods
        }

    assert methods(pb.DESCRIPTOR, "GRPCInferenceService") == methods(stock.DESCRIPTOR, "GRPCInferenceService")
    theirs = methods(stock_health.DESCRIPTOR, "Health")
    assert methods(health_pb2.DESCRIPTOR, "Health") == {name: theirs[name] for name in ("Check", "Watch")}


def test_our_messages_leave_the_common_pool_alone():
    """Both clients are imported above: sharing the pool would have failed there already."""
    assert pb.DESCRIPTOR.pool is not descriptor_pool.Default()
    assert (
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
        is stock.ModelInferRequest.DESCRIPTOR
    )


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_they_load_in_each_implementation_of_protobuf(implementation):
    program = """if True:
        from google.protobuf.internal import api_implementation
        from servable.wire.generated import open_inference_pb2 as pb
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"1234"])
        request.inputs.add(name="x", datatype="FP32", shape=[1])
        request.parameters["p"].uint64_param = 2**63
        assert pb.ModelInferRequest.FromString(request.SerializeToString()) == request
        print(api_implementation.Type())
    """
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == implementation
