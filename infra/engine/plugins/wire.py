"""Protobuf Struct <-> property values.

Numbers are doubles on the wire; integral ones become ints, as Pulumi writes them to the checkpoint. Asset contents are
hashed when they enter, so that a change of the file behind a path is a change of the value.
"""

from typing import Any, Final

from google.protobuf import struct_pb2  # type: ignore[import-untyped]

from infra.engine.model.values import (
    ARCHIVE_SIGNATURE,
    ASSET_SIGNATURE,
    OUTPUT_SIGNATURE,
    RESOURCE_SIGNATURE,
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    UNKNOWN,
    UNKNOWN_TEXT,
    Output,
    Properties,
    Secret,
    Value,
)
from infra.engine.plugins.assets import with_hash

# One sentinel per type of the unknown value; sdk/go/common/resource/plugin/rpc.go. We need only that it is unknown.
UNKNOWN_TEXTS: Final = frozenset(
    (
        UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    )
)


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """Properties of a message; nulls at the top level are kept (the caller knows whether they mean anything)."""
    return {k: from_value(v) for k, v in struct.fields.items()}


def from_value(value: struct_pb2.Value) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text in UNKNOWN_TEXTS else text
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**63 else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return _from_object({k: from_value(v) for k, v in value.struct_value.fields.items()})
    if kind == "list_value":
        return [from_value(v) for v in value.list_value.values]
    return None


def _from_object(fields: dict[str, Value]) -> Value:
    match fields.get(SIGNATURE_KEY):
        case None:
            return fields
        case signature if signature == SECRET_SIGNATURE:
            inner = fields.get("value")
            return inner if isinstance(inner, Secret) else Secret(inner)
        case signature if signature == OUTPUT_SIGNATURE:
            return _from_output(fields)
        case signature if signature in (ASSET_SIGNATURE, ARCHIVE_SIGNATURE):
            return with_hash(fields)
    return fields


def _from_output(fields: dict[str, Value]) -> Value:
    value: Value = fields.get("value", UNKNOWN)
    if fields.get("secret") is True:
        value = Secret(value)
    dependencies = tuple(fields.get("dependencies") or ())
    return Output(value, dependencies) if dependencies else value


def to_struct(
    properties: Properties, *, secrets: bool = True, resources: bool = True, outputs: bool = False
) -> struct_pb2.Struct:
    """Properties as a message. `secrets`, `resources`, `outputs` say which marks the receiver understands."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        _fill(struct.fields[key], value, secrets, resources, outputs)
    return struct


def _fill(message: struct_pb2.Value, value: Value, secrets: bool, resources: bool, outputs: bool) -> None:
    if value is None:
        message.null_value = struct_pb2.NULL_VALUE
    elif value is UNKNOWN:
        message.string_value = UNKNOWN_TEXT
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int | float):
        message.number_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, list):
        message.list_value.SetInParent()
        for item in value:
            _fill(message.list_value.values.add(), item, secrets, resources, outputs)
    else:
        _fill_object(message, value, secrets, resources, outputs)


def _fill_object(message: struct_pb2.Value, value: Any, secrets: bool, resources: bool, outputs: bool) -> None:
    if isinstance(value, Secret):
        if not secrets:
            _fill(message, value.value, secrets, resources, outputs)
            return
        value = {SIGNATURE_KEY: SECRET_SIGNATURE, "value": value.value}
    elif isinstance(value, Output):
        if not outputs:
            _fill(message, value.value, secrets, resources, outputs)
            return
        value = _output_fields(value)
    elif not resources and value.get(SIGNATURE_KEY) == RESOURCE_SIGNATURE:
        # A receiver without resource references gets the id, or the URN of a component.
        _fill(message, value.get("id") if "id" in value else value.get("urn"), secrets, resources, outputs)
        return
    message.struct_value.SetInParent()
    for key, item in value.items():
        _fill(message.struct_value.fields[key], item, secrets, resources, outputs)


def _output_fields(output: Output) -> dict[str, Value]:
    value, secret = (output.value.value, True) if isinstance(output.value, Secret) else (output.value, False)
    fields: dict[str, Value] = {SIGNATURE_KEY: OUTPUT_SIGNATURE, "secret": secret, "dependencies": list(output.dependencies)}
    return fields if value is UNKNOWN else {**fields, "value": value}
