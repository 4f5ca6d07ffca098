# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Private networks and their endpoints, static egress, and caching at the edge."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.config_views import edge_config_view
from infra.localcloud.railway_api.resolvers_account import REGIONS, Input, call_of
from infra.localcloud.world import instance_network as network
from infra.localcloud.world import owners
from infra.localcloud.world.errors import BadInput, NotAuthorized, NotFound
from infra.localcloud.world.model import Environment, Instance, World

NETWORK_DNS_NAME = "railway"
CACHING = {
    "mode": "mode",
    "defaultTtlSeconds": "default_ttl_s",
    "htmlCaching": "html_caching",
    "purgeOnDeploy": "purge_on_deploy",
}


def _network_id(environment: Environment) -> str:
    return str(uuid.uuid5(uuid.UUID(environment.id), "private network"))


def _endpoint_id(instance: Instance) -> str:
    return str(uuid.uuid5(uuid.UUID(instance.id), "private network endpoint"))


def _network_view(environment: Environment) -> views.View:
    """One per environment, there from its beginning."""
    identity = _network_id(environment)
    return {
        "publicId": identity,
        "networkId": uuid.UUID(identity).int >> 80,
        "name": NETWORK_DNS_NAME,
        "dnsName": NETWORK_DNS_NAME,
        "environmentId": environment.id,
        "projectId": environment.project_id,
        "tags": [],
        "createdAt": environment.created_at,
    }


def _endpoint_view(call: Call, instance: Instance) -> views.View | None:
    name = network.endpoint_name(call.world, instance)
    if name == network.NO_ENDPOINT:
        return None
    return {
        "publicId": _endpoint_id(instance),
        "dnsName": name,
        "serviceInstanceId": instance.id,
        "privateIps": [call.cloud.conductor.router.private_address(instance)],
        "syncStatus": "ACTIVE",
        "tags": [],
        "createdAt": instance.created_at,
    }


def private_networks(_: None, info: Info, environmentId: str) -> list[views.View]:
    return [_network_view(call_of(info).access.environment(environmentId))]


def _check_network(environment: Environment, network_id: str) -> None:
    if network_id != _network_id(environment):
        raise NotFound("PrivateNetwork")


def private_network_endpoint(_: None, info: Info, environmentId: str, privateNetworkId: str, serviceId: str) -> views.View | None:
    call = call_of(info)
    _check_network(call.access.environment(environmentId), privateNetworkId)
    return _endpoint_view(call, call.access.instance(serviceId, environmentId))


def private_network_endpoint_name_available(_: None, info: Info, environmentId: str, prefix: str, privateNetworkId: str) -> bool:
    call = call_of(info)
    _check_network(call.access.environment(environmentId), privateNetworkId)
    return network.is_name_free(call.world, environmentId, prefix)


def private_network_create_or_get(_: None, info: Info, input: Input) -> views.View:
    environment = call_of(info).access.environment(input["environmentId"])
    if environment.project_id != input["projectId"]:
        raise NotFound("Environment")
    return _network_view(environment)


async def private_network_endpoint_create_or_get(_: None, info: Info, input: Input) -> views.View:
    call = call_of(info)
    _check_network(call.access.environment(input["environmentId"]), input["privateNetworkId"])
    instance = call.access.instance(input["serviceId"], input["environmentId"])
    if network.endpoint_name(call.world, instance) == network.NO_ENDPOINT:
        await call.apply(network.NameEndpoint(instance.service_id, instance.environment_id, input["serviceName"]))
    found = _endpoint_view(call, instance)
    assert found is not None, "it has a name now"
    return found


def _instance_of_endpoint(call: Call, id: str) -> Instance:
    """A stranger does not learn whether it exists."""
    for found in call.world.instances.values():
        if _endpoint_id(found) == id:
            return call.access.instance(found.service_id, found.environment_id)
    raise NotFound("PrivateNetworkEndpoint") if call.principal.is_account else NotAuthorized


async def private_network_endpoint_rename(_: None, info: Info, id: str, dnsName: str, privateNetworkId: str) -> bool:
    call = call_of(info)
    instance = _instance_of_endpoint(call, id)
    _check_network(call.access.environment(instance.environment_id), privateNetworkId)
    await call.apply(network.NameEndpoint(instance.service_id, instance.environment_id, dnsName))
    return True


async def private_network_endpoint_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    instance = _instance_of_endpoint(call, id)
    await call.apply(network.NameEndpoint(instance.service_id, instance.environment_id, network.NO_ENDPOINT))
    return True


def _gateway_views(world: World, instance: Instance) -> list[views.View]:
    return [{"ipv4": address, "region": region} for region, address in world.egress.get(instance.id, {}).items()]


def egress_gateways(_: None, info: Info, environmentId: str, serviceId: str) -> list[views.View]:
    call = call_of(info)
    return _gateway_views(call.world, call.access.instance(serviceId, environmentId))


async def egress_gateway_association_create(_: None, info: Info, input: Input) -> list[views.View]:
    call = call_of(info)
    instance = call.access.instance(input["serviceId"], input["environmentId"])
    region = input.get("region") or instance.settings.primary_region
    if region not in {one["name"] for one in REGIONS}:
        raise BadInput(f"region: unknown region {region[:60]!r}")
    address = call.cloud.plane.allocate(region, owners.egress(instance.id, region))
    world = await call.apply(network.AddEgress(instance.service_id, instance.environment_id, region, address))
    return _gateway_views(world, instance)


async def egress_gateway_associations_clear(_: None, info: Info, input: Input) -> bool:
    call = call_of(info)
    call.access.instance(input["serviceId"], input["environmentId"])
    if input.get("allEnvironments"):
        call.access.require_account()
    for found in list(call.world.instances.values()):
        is_meant = input.get("allEnvironments") or found.environment_id == input["environmentId"]
        if found.service_id == input["serviceId"] and is_meant:
            await call.apply(network.ClearEgress(new_stamp(), found.service_id, found.environment_id))
    return True


def _caching(config: Mapping[str, Any] | None) -> dict[str, Any]:
    caching = (config or {}).get("caching") or {}
    changes = {ours: caching[theirs] for theirs, ours in CACHING.items() if caching.get(theirs) is not None}
    if caching.get("staleWhileRevalidate") is not None:
        changes["is_stale_while_revalidate"] = caching["staleWhileRevalidate"]["enabled"]
    return changes


async def _configured(info: Info, input: Input, *, is_enabled: bool | None) -> World:
    call = call_of(info)
    call.access.instance(input["serviceId"], input["environmentId"])
    changes = _caching(input.get("config"))
    command = network.SetEdgeConfig(new_stamp(), input["serviceId"], input["environmentId"], changes, is_enabled)
    return await call.apply(command)


def _config_view(call: Call, input: Input) -> views.View:
    found = edge_config_view(call.world, call.access.instance(input["serviceId"], input["environmentId"]))
    assert found is not None, "it was set just now"
    return found


async def enable_service_cdn(_: None, info: Info, input: Input) -> views.View:
    await _configured(info, input, is_enabled=True)
    return _config_view(call_of(info), input)


async def update_service_edge_config(_: None, info: Info, input: Input) -> views.View:
    await _configured(info, input, is_enabled=None)
    return _config_view(call_of(info), input)


async def disable_service_cdn(_: None, info: Info, input: Input) -> bool:
    await _configured(info, input, is_enabled=False)
    return True


async def purge_service_cache(_: None, info: Info, input: Input) -> bool:
    call = call_of(info)
    call.access.instance(input["serviceId"], input["environmentId"])
    place = (input["serviceId"], input["environmentId"])
    await call.apply(network.PurgeCache(new_stamp(), *place, input["scope"], int(time.time())))
    return True


QUERIES = {
    "egressGateways": egress_gateways,
    "privateNetworkEndpoint": private_network_endpoint,
    "privateNetworkEndpointNameAvailable": private_network_endpoint_name_available,
    "privateNetworks": private_networks,
}
MUTATIONS = {
    "disableServiceCdn": disable_service_cdn,
    "egressGatewayAssociationCreate": egress_gateway_association_create,
    "egressGatewayAssociationsClear": egress_gateway_associations_clear,
    "enableServiceCdn": enable_service_cdn,
    "privateNetworkCreateOrGet": private_network_create_or_get,
    "privateNetworkEndpointCreateOrGet": private_network_endpoint_create_or_get,
    "privateNetworkEndpointDelete": private_network_endpoint_delete,
    "privateNetworkEndpointRename": private_network_endpoint_rename,
    "purgeServiceCache": purge_service_cache,
    "updateServiceEdgeConfig": update_service_edge_config,
}
