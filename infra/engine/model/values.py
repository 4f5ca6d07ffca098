"""Property values inside the engine.

A property value is plain JSON data (None, bool, int, float, str, list, dict) in which three more things may stand:
`Secret` around a value, `UNKNOWN` for what is known only after an apply, and `Output` for a value that carries its
dependencies (sent only to and from remote components). Assets, archives and resource references stay dicts marked by
`SIGNATURE_KEY`, exactly as on the wire and in the checkpoint.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

# Identities of marked dicts; sdk/go/common/resource/properties.go.
SIGNATURE_KEY: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a type mark, not a password
ASSET_SIGNATURE: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE_SIGNATURE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE_SIGNATURE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

# How an unknown value is written down, on the wire and in events; sdk/go/common/resource/plugin/rpc.go UnknownStringValue.
UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Value: TypeAlias = Any
Properties: TypeAlias = dict[str, Any]


class Unknown:
    """The type of UNKNOWN; one instance, compared by identity."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> "Unknown":
        return self


UNKNOWN: Final = Unknown()


@dataclass(slots=True, eq=True)
class Secret:
    """A value to be kept from every eye. `ciphertext` is what the checkpoint holds already, so that an unchanged secret
    keeps its text and need not be encrypted again."""

    value: Value
    ciphertext: str | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return "[secret]"


@dataclass(slots=True, frozen=True)
class Output:
    """A value with the URNs it depends on."""

    value: Value
    dependencies: tuple[str, ...] = ()


def reveal(value: Value) -> Value:
    """The value without secret marks and without outputs, at every depth."""
    if isinstance(value, Secret | Output):
        return reveal(value.value)
    if isinstance(value, dict):
        return {k: reveal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [reveal(v) for v in value]
    return value


def mask(value: Value) -> Value:
    """The value as it may be shown: secrets become `[secret]`."""
    if isinstance(value, Secret):
        return "[secret]"
    if isinstance(value, Output):
        return mask(value.value)
    if isinstance(value, dict):
        return {k: mask(v) for k, v in value.items()}
    if isinstance(value, list):
        return [mask(v) for v in value]
    return UNKNOWN_TEXT if value is UNKNOWN else value


def flatten_outputs(value: Value) -> Value:
    """Outputs lose their dependencies; secrets, unknowns stay."""
    if isinstance(value, Output):
        return flatten_outputs(value.value)
    if isinstance(value, Secret):
        return Secret(flatten_outputs(value.value), value.ciphertext)
    if isinstance(value, dict):
        return {k: flatten_outputs(v) for k, v in value.items()}
    if isinstance(value, list):
        return [flatten_outputs(v) for v in value]
    return value


def walk(value: Value) -> Iterator[Value]:
    """Every node of the value, outermost first."""
    yield value
    if isinstance(value, Secret | Output):
        yield from walk(value.value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


def any_node(value: Value, claim: Callable[[Value], bool]) -> bool:
    return any(claim(node) for node in walk(value))


def has_unknown(value: Value) -> bool:
    return any_node(value, lambda node: node is UNKNOWN)


def has_secret(value: Value) -> bool:
    return any_node(value, lambda node: isinstance(node, Secret))


def secret_strings(value: Value) -> Iterator[str]:
    """Every text marked secret."""
    for node in walk(value):
        if isinstance(node, Secret):
            yield from (inner for inner in walk(node.value) if isinstance(inner, str))


def same_value(a: Value, b: Value) -> bool:
    """Equality of meaning: secret marks do not count, unknowns equal nothing."""
    return not has_unknown(a) and not has_unknown(b) and reveal(a) == reveal(b)


def without_nulls(properties: Properties) -> Properties:
    """Top-level nulls mean "not set" and are not kept; nested ones are data (recorded behaviour of Pulumi's engine)."""
    return {k: v for k, v in properties.items() if v is not None}


def keep_secret(outputs: Properties, inputs: Properties) -> Properties:
    """Marks as secret each output whose input of the same name was secret, for providers that do not understand secrets.

    A provider that lacks acceptSecrets got the bare value; without this the state would hold it in the clear.
    """
    return {k: _resecret(v, inputs.get(k)) for k, v in outputs.items()}


def _resecret(output: Value, wanted: Value) -> Value:
    if isinstance(output, Secret):
        return output
    if isinstance(wanted, Secret):
        return Secret(output)
    if isinstance(output, dict) and isinstance(wanted, dict):
        return {k: _resecret(v, wanted.get(k)) for k, v in output.items()}
    if isinstance(output, list) and isinstance(wanted, list):
        if len(output) == len(wanted):
            return [_resecret(o, w) for o, w in zip(output, wanted, strict=True)]
        return Secret(output) if has_secret(wanted) else output
    return output


def add_secret_outputs(outputs: Properties, names: list[str]) -> Properties:
    """Applies additionalSecretOutputs."""
    return {k: Secret(v) if k in names and not isinstance(v, Secret) else v for k, v in outputs.items()}
