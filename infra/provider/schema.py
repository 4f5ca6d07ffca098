"""A provider's declaration -> Pulumi package schema, so that `pulumi package get-schema` and `pulumi import` work."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from infra.provider.definition import Resource
from infra.provider.fields import Field
from infra.provider.functions import Read
from infra.provider.native import Function, NativeProvider


def package_schema(provider: NativeProvider[Any]) -> str:
    """JSON text in Pulumi's package schema."""
    return json.dumps(
        {
            "name": provider.name,
            "version": provider.version,
            "config": {"variables": _properties(provider.settings)},
            "provider": {"inputProperties": _properties(provider.settings)},
            "resources": {token: _resource(each) for token, each in provider.resources.items()},
            "functions": {token: _function(each) for token, each in provider.functions.items()},
        },
        sort_keys=True,
    )


def _function(function: Function) -> dict[str, Any]:
    inputs: dict[str, Any] = {"type": "object"}
    if isinstance(function, Read):
        inputs |= {
            "properties": _properties(function.fields),
            "required": [each.name for each in function.fields if each.is_required],
        }
    return {"inputs": inputs, "outputs": {"type": "object"}}


def _resource(resource: Resource[Any, Any]) -> dict[str, Any]:
    outputs = {each.name: {**each.schema, "secret": each.is_secret, "description": each.about} for each in resource.outputs}
    return {
        "description": (type(resource).__doc__ or "").strip(),
        "inputProperties": _properties(resource.fields),
        "requiredInputs": [each.name for each in resource.fields if each.is_required],
        "properties": _properties(resource.fields) | outputs,
        "required": [each.name for each in resource.fields if each.is_required] + list(outputs),
    }


def _properties(fields: Iterable[Field]) -> dict[str, Any]:
    return {
        each.name: each.rule.schema()
        | {"secret": each.is_secret, "description": each.about, "willReplaceOnChanges": each.replaces}
        for each in fields
    }
