"""Values as Pulumi's protocol knows them, as plain Python: JSON plus two marks, Secret and UNKNOWN.

The wire carries both marks inside ordinary structs (see pulumi/runtime/rpc.py for the signatures). Everything past this
file sees only the types below, and integral numbers as int: the protocol knows floats only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from google.protobuf import struct_pb2  # type: ignore[import-untyped]

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (a protocol constant, not a password)
_RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_SENTINEL: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown:
    """A value that is not known before the change is made. There is one: UNKNOWN."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Marks a value as secret; prints as [secret]."""

    value: Value

    def __repr__(self) -> str:
        return "[secret]"


Value: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | Secret | Unknown | None"
Properties: TypeAlias = dict[str, Any]


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """The top level of a property bag; it carries no mark itself."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "string_value":
            text: str = value.string_value
            return UNKNOWN if text == UNKNOWN_SENTINEL else text
        case "number_value":
            number: float = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return bool(value.bool_value)
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "struct_value":
            return _from_marked(value.struct_value)
        case _:
            return None


def _from_marked(struct: struct_pb2.Struct) -> Value:
    fields = struct.fields
    signature = fields[_SIGNATURE].string_value if _SIGNATURE in fields else ""
    if signature == _SECRET:
        return as_secret(_from_value(fields["value"]))
    if signature == _RESOURCE:
        # A resource given where an id is wanted means its id, as in `project_id=project`.
        return _from_value(fields["id"]) if "id" in fields else UNKNOWN
    if signature == _OUTPUT:
        inner: Value = _from_value(fields["value"]) if "value" in fields else UNKNOWN
        return as_secret(inner) if fields["secret"].bool_value else inner
    return from_struct(struct)


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """The wire form; None values are left out, as the engine does."""
    struct = struct_pb2.Struct()
    struct.update({key: _wire(value) for key, value in properties.items() if value is not None})
    return struct


def _wire(value: Any) -> Any:
    match value:
        case Secret(value=inner):
            return {_SIGNATURE: _SECRET, "value": _wire(inner)}
        case Unknown():
            return UNKNOWN_SENTINEL
        case list() | tuple():
            return [_wire(item) for item in value]
        case Mapping():
            return {key: _wire(item) for key, item in value.items()}
        case _:
            return value


def as_secret(value: Value) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def plain(value: Any) -> Any:
    """The value with every secret mark taken off, at any depth."""
    match value:
        case Secret(value=inner):
            return plain(inner)
        case list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case _:
            return value


def has_unknown(value: Any) -> bool:
    match value:
        case Unknown():
            return True
        case Secret(value=inner):
            return has_unknown(inner)
        case list():
            return any(has_unknown(item) for item in value)
        case dict():
            return any(has_unknown(item) for item in value.values())
        case _:
            return False


def has_secret(value: Any) -> bool:
    match value:
        case Secret():
            return True
        case list():
            return any(has_secret(item) for item in value)
        case dict():
            return any(has_secret(item) for item in value.values())
        case _:
            return False


def secret_texts(value: Any, *, inside: bool = False) -> set[str]:
    """Every text that stands somewhere under a secret mark; used to keep it out of messages."""
    match value:
        case Secret(value=inner):
            return secret_texts(inner, inside=True)
        case list():
            return {text for item in value for text in secret_texts(item, inside=inside)}
        case dict():
            return {text for item in value.values() for text in secret_texts(item, inside=inside)}
        case str():
            return {value} if inside else set()
        case _:
            return set()


def mark_like(template: Any, value: Any) -> Any:
    """`value` with secret marks where `template` has them.

    An entry that is new in a map which holds secrets is taken for a secret too: what somebody added behind our back to a
    set of secret variables is more likely a secret than not.
    """
    if isinstance(template, Secret):
        return as_secret(value)
    if isinstance(template, dict) and isinstance(value, dict):
        some_secret = has_secret(template)
        return {
            key: mark_like(template[key], item) if key in template else as_secret(item) if some_secret else item
            for key, item in value.items()
        }
    if isinstance(template, list) and isinstance(value, list) and has_secret(template):
        return as_secret(value)
    return value
