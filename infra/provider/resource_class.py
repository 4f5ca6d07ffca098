"""What resource classes of Pulumi programs are made of. Only the SDK is imported here: every run of a program loads this.

Arguments and attributes are snake_case; the wire, `ignore_changes` and the state use camelCase.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast, overload

import pulumi

T = TypeVar("T")


def wire_name(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


class Attribute(Generic[T]):
    """An output of a resource, by its Python name. The SDK keeps outputs in the instance under their wire names."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = wire_name(name)

    @overload
    def __get__(self, resource: None, owner: type) -> Attribute[T]: ...

    @overload
    def __get__(self, resource: pulumi.Resource, owner: type) -> pulumi.Output[T]: ...

    def __get__(self, resource: pulumi.Resource | None, owner: type) -> Any:
        return self if resource is None else cast("pulumi.Output[T]", resource.__dict__[self._name])


class NativeResource(pulumi.CustomResource):
    """`inputs` and `outputs` by their Python names."""

    def __init__(
        self, token: str, name: str, inputs: Mapping[str, Any], outputs: Sequence[str], opts: pulumi.ResourceOptions | None
    ) -> None:
        properties = {wire_name(key): value for key, value in inputs.items()} | {wire_name(key): None for key in outputs}
        super().__init__(token, name, properties, opts)
