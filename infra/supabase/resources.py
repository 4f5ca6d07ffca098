"""Supabase's resources for Pulumi programs. Only the SDK is imported here; the plugin side is another process.

Arguments and attributes are snake_case; the wire, `ignore_changes` and the state use camelCase.
"""

from __future__ import annotations

import re
from typing import Any, Generic, TypeVar, cast, overload

import pulumi

T = TypeVar("T")


def _wire(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


class _Attribute(Generic[T]):
    """An output of a resource, by its Python name. The SDK keeps outputs in the instance under their wire names."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = _wire(name)

    @overload
    def __get__(self, resource: None, owner: type) -> _Attribute[T]: ...

    @overload
    def __get__(self, resource: pulumi.Resource, owner: type) -> pulumi.Output[T]: ...

    def __get__(self, resource: pulumi.Resource | None, owner: type) -> Any:
        return self if resource is None else cast("pulumi.Output[T]", resource.__dict__[self._name])


class Project(pulumi.CustomResource):
    """A project. The password is stored as a secret; keys are secret outputs."""

    ref = _Attribute[str]()
    url = _Attribute[str]()
    region = _Attribute[str]()
    database_host = _Attribute[str]()
    session_host = _Attribute[str]()
    session_user = _Attribute[str]()
    anon_key = _Attribute[str]()
    service_role_key = _Attribute[str]()
    jwks_url = _Attribute[str]()
    issuer = _Attribute[str]()

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
            "organizationId": organization_id,
            "region": region,
            "dbPassword": pulumi.Output.secret(db_password),
            "instanceSize": instance_size,
        }
        outputs = (
            "ref", "url", "databaseHost", "sessionHost", "sessionUser", "anonKey", "serviceRoleKey", "jwksUrl", "issuer",
        )  # fmt: skip
        super().__init__("supabase:index:Project", resource_name, inputs | dict.fromkeys(outputs), opts)


class ReadReplica(pulumi.CustomResource):
    """A read replica of a project's database."""

    identifier = _Attribute[str]()
    host = _Attribute[str]()
    user = _Attribute[str]()
    region = _Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_ref: pulumi.Input[str],
        region: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"projectRef": project_ref, "region": region, "identifier": None, "host": None, "user": None}
        super().__init__("supabase:index:ReadReplica", resource_name, inputs, opts)
