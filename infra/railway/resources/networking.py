"""What leads to a service from outside."""

from __future__ import annotations

from typing import Any

import pulumi

from infra.provider.resource_class import Attribute, NativeResource


class CustomDomain(NativeResource):
    """A name of your own for a service. `dns_records`: [{name, type, value, zone}], to be made where the zone is kept."""

    service_id = Attribute[str]()
    domain = Attribute[str]()
    dns_records = Attribute[list[dict[str, Any]]]()
    url = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        domain: pulumi.Input[str],
        target_port: pulumi.Input[int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "domain": domain,
            "target_port": target_port,
        }
        super().__init__("railway:index:CustomDomain", resource_name, inputs, ["dns_records", "url"], opts)


class TcpProxy(NativeResource):
    """`domain`:`proxy_port` leads to `application_port` of a service, byte for byte."""

    service_id = Attribute[str]()
    application_port = Attribute[int]()
    domain = Attribute[str]()
    proxy_port = Attribute[int]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        application_port: pulumi.Input[int],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "application_port": application_port,
        }
        super().__init__("railway:index:TcpProxy", resource_name, inputs, ["domain", "proxy_port"], opts)
