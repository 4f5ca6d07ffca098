"""Variables one by one, and those that services share."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from infra.provider.resource_class import Attribute, NativeResource


class Variable(NativeResource):
    """One variable; without `service_id` shared by the environment. Nobody can read a `sealed` one again, nor unseal it."""

    name = Attribute[str]()
    digest = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        name: pulumi.Input[str],
        value: pulumi.Input[str],
        service_id: pulumi.Input[str] | None = None,
        sealed: pulumi.Input[bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "name": name,
            "value": pulumi.Output.secret(value),
            "sealed": sealed,
        }
        super().__init__("railway:index:Variable", resource_name, inputs, ["digest"], opts)


class SharedVariables(NativeResource):
    """All shared variables of an environment. `digest` (secret) changes exactly when they do."""

    environment_id = Attribute[str]()
    digest = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        variables: pulumi.Input[Mapping[str, pulumi.Input[str]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"project_id": project_id, "environment_id": environment_id, "variables": variables}
        super().__init__("railway:index:SharedVariables", resource_name, inputs, ["digest"], opts)
