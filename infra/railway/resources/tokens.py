"""Tokens for programs."""

from __future__ import annotations

import pulumi

from infra.provider.resource_class import Attribute, NativeResource


class ProjectToken(NativeResource):
    """A token for one environment of a project. `token` is a secret and known from its creation only."""

    name = Attribute[str]()
    project_id = Attribute[str]()
    environment_id = Attribute[str]()
    token = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        name: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"project_id": project_id, "environment_id": environment_id, "name": name}
        super().__init__("railway:index:ProjectToken", resource_name, inputs, ["token"], opts)
