"""Supabase's resources for Pulumi programs. Only the SDK is imported here; the plugin side is another process.

Arguments and attributes are snake_case; the wire, `ignore_changes` and the state use camelCase.
"""

from __future__ import annotations

import pulumi

from infra.provider.resource_class import Attribute, NativeResource
from infra.supabase.auth_resources import AuthConfiguration

__all__ = ["AuthConfiguration", "Project", "ReadReplica"]


class Project(NativeResource):
    """A project. The password is stored as a secret; keys are secret outputs."""

    ref = Attribute[str]()
    url = Attribute[str]()
    region = Attribute[str]()
    database_host = Attribute[str]()
    session_host = Attribute[str]()
    session_user = Attribute[str]()
    anon_key = Attribute[str]()
    service_role_key = Attribute[str]()
    jwks_url = Attribute[str]()
    issuer = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        organization_id: pulumi.Input[str],
        region: pulumi.Input[str],
        db_password: pulumi.Input[str],
        instance_size: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "name": name,
            "organization_id": organization_id,
            "region": region,
            "db_password": pulumi.Output.secret(db_password),
            "instance_size": instance_size,
        }
        outputs = (
            "ref", "url", "database_host", "session_host", "session_user", "anon_key", "service_role_key", "jwks_url", "issuer",
        )  # fmt: skip
        super().__init__("supabase:index:Project", resource_name, inputs, outputs, opts)


class ReadReplica(NativeResource):
    """A read replica of a project's database."""

    identifier = Attribute[str]()
    host = Attribute[str]()
    user = Attribute[str]()
    region = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_ref: pulumi.Input[str],
        region: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"project_ref": project_ref, "region": region}
        super().__init__("supabase:index:ReadReplica", resource_name, inputs, ("identifier", "host", "user"), opts)
