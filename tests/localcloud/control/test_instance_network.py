"""Private names, static egress and edge caching: each with its service, and gone with it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
NETWORKS = "query ($e: String!) { privateNetworks(environmentId: $e) { publicId dnsName networkId } }"
ENDPOINT = """query ($e: String!, $n: String!, $s: String!) {
    privateNetworkEndpoint(environmentId: $e, privateNetworkId: $n, serviceId: $s) { publicId dnsName privateIps } }"""
RENAME = """mutation ($i: String!, $d: String!, $n: String!) {
    privateNetworkEndpointRename(id: $i, dnsName: $d, privateNetworkId: $n) }"""
ENABLE = "mutation ($i: EnableServiceCdnInput!) { enableServiceCdn(input: $i) { id caching { defaultTtlSeconds htmlCaching } } }"
EDGE = """query ($s: String!, $e: String!) { serviceInstance(serviceId: $s, environmentId: $e) {
    edgeConfig { enabled purgeEpoch purgeEpochByKind } } }"""


async def endpoint(cloud: Harness, place: tuple[str, str], service_id: str) -> dict[str, Any] | None:
    (network,) = (await cloud.gql(NETWORKS, e=place[1]))["privateNetworks"]
    found = (await cloud.gql(ENDPOINT, e=place[1], n=network["publicId"], s=service_id))["privateNetworkEndpoint"]
    return {**found, "network": network["publicId"]} if found else None


async def test_private_name_is_unique_and_without_one_the_address_leads_nowhere(cloud: Harness) -> None:
    place, service_id, _ = await cloud.web()
    other = await endpoint(cloud, place, await cloud.service(place, "My Other"))
    found = await endpoint(cloud, place, service_id)
    assert found is not None
    assert other is not None
    assert (found["dnsName"], other["dnsName"]) == ("web", "my-other")

    def private_routes() -> list[Any]:
        return [route for table in cloud.plane.routes.values() for route in table if route.address in found["privateIps"]]

    await cloud.until(private_routes)
    for name, message in (("my-other", "already exists"), ("Not A Label", "expected lower-case letters")):
        with pytest.raises(ApiError, match=message):
            await cloud.gql(RENAME, i=found["publicId"], d=name, n=found["network"])
    await cloud.gql(RENAME, i=found["publicId"], d="renamed", n=found["network"])
    renamed = await endpoint(cloud, place, service_id)
    assert renamed == {**found, "dnsName": "renamed"}
    await cloud.gql("mutation ($i: String!) { privateNetworkEndpointDelete(id: $i) }", i=found["publicId"])
    assert await endpoint(cloud, place, service_id) is None
    await cloud.until(lambda: not private_routes())


async def test_static_egress_holds_its_address_until_it_is_cleared(cloud: Harness) -> None:
    place, service_id, _ = await cloud.web()
    create = "mutation ($i: EgressGatewayCreateInput!) { egressGatewayAssociationCreate(input: $i) { ipv4 region } }"
    at = {"serviceId": service_id, "environmentId": place[1]}
    (made,) = (await cloud.gql(create, i=at))["egressGatewayAssociationCreate"]
    assert made["region"] == "us-west2"
    assert (await cloud.gql(create, i=at))["egressGatewayAssociationCreate"] == [made], "the same one again"
    both = (await cloud.gql(create, i={**at, "region": "europe-west4-drams3a"}))["egressGatewayAssociationCreate"]
    assert len(both) == 2
    await cloud.gql(
        "mutation ($i: EgressGatewayServiceTargetInput!) { egressGatewayAssociationsClear(input: $i) }",
        i={**at, "allEnvironments": True},
    )
    await cloud.until(lambda: not any(owner.startswith("egress:") for owner in cloud.plane.owners))
    assert cloud.world.egress == {}


async def test_caching_wants_a_domain_and_is_purged_by_its_epoch(cloud: Harness) -> None:
    place, service_id, _ = await cloud.web()
    at = {"serviceId": service_id, "environmentId": place[1]}
    with pytest.raises(ApiError, match="no public domain"):
        await cloud.gql(ENABLE, i=at)
    purge = "mutation ($i: PurgeServiceCacheInput!) { purgeServiceCache(input: $i) }"
    with pytest.raises(ApiError, match="CDN is not enabled"):
        await cloud.gql(purge, i={**at, "scope": "ALL"})
    await cloud.gql("mutation ($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { id } }", i=at)
    caching = {"defaultTtlSeconds": 60, "htmlCaching": "never"}
    made = (await cloud.gql(ENABLE, i={**at, "config": {"caching": caching}}))["enableServiceCdn"]
    assert made["caching"] == caching
    epochs = []
    for scope in ("ALL", "ALL", "HTML"):
        await cloud.gql(purge, i={**at, "scope": scope})
        config = (await cloud.gql(EDGE, s=service_id, e=place[1]))["serviceInstance"]["edgeConfig"]
        epochs.append(config["purgeEpoch"])
    assert epochs[0] < epochs[1] == epochs[2], "two purges in one second are two epochs"
    assert config["purgeEpochByKind"]["html"] > 0
    await cloud.gql("mutation ($i: DisableServiceCdnInput!) { disableServiceCdn(input: $i) }", i=at)
    assert (await cloud.gql(EDGE, s=service_id, e=place[1]))["serviceInstance"]["edgeConfig"] is None
    await cloud.gql("mutation ($i: String!) { serviceDelete(id: $i) }", i=service_id)
    assert (cloud.world.edge_configs, cloud.world.endpoint_names) == ({}, {})
