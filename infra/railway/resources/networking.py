"""What leads to a service from outside."""

from __future__ import annotations

from collections.abc import Mapping
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


class EgressGateway(NativeResource):
    """Static `addresses` (IPv4) from which a service's connections leave, from its next deployment on."""

    service_id = Attribute[str]()
    addresses = Attribute[list[str]]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        region: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "region": region,
        }
        super().__init__("railway:index:EgressGateway", resource_name, inputs, ["addresses"], opts)


class PrivateNetworkEndpoint(NativeResource):
    """The name of a service on its environment's private network; `host_name` is the whole of it."""

    service_id = Attribute[str]()
    dns_name = Attribute[str]()
    endpoint_id = Attribute[str]()
    host_name = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        dns_name: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "dns_name": dns_name,
        }
        outputs = ["endpoint_id", "host_name"]
        super().__init__("railway:index:PrivateNetworkEndpoint", resource_name, inputs, outputs, opts)


class ServiceCdn(NativeResource):
    """Caching at the edge, on as long as this is there; emptied when anything in `purge_triggers` changes."""

    service_id = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        default_ttl_seconds: pulumi.Input[int] | None = None,
        html_caching: pulumi.Input[str] | None = None,
        purge_on_deploy: pulumi.Input[str] | None = None,
        stale_while_revalidate: pulumi.Input[bool] | None = None,
        purge_triggers: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "default_ttl_seconds": default_ttl_seconds,
            "html_caching": html_caching,
            "purge_on_deploy": purge_on_deploy,
            "stale_while_revalidate": stale_while_revalidate,
            "purge_triggers": purge_triggers,
        }
        super().__init__("railway:index:ServiceCdn", resource_name, inputs, [], opts)
