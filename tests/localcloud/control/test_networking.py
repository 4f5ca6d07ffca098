"""TCP proxies and custom domains: what the API says of them, and where the edges are told to lead."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
PROXIES = (
    "query ($e: String!, $s: String!) { tcpProxies(environmentId: $e, serviceId: $s) { id domain proxyPort applicationPort } }"
)
COMMIT = "mutation ($e: String!, $p: EnvironmentConfig) { environmentPatchCommit(environmentId: $e, patch: $p) }"
CREATE_DOMAIN = """mutation ($i: CustomDomainCreateInput!) { customDomainCreate(input: $i) {
    id domain status { verified dnsRecords { fqdn zone hostlabel recordType requiredValue } } } }"""


async def committed(cloud: Harness, place: tuple[str, str], service_id: str, **networking: Any) -> None:
    await cloud.gql(COMMIT, e=place[1], p={"services": {service_id: {"networking": networking}}})


async def proxies(cloud: Harness, place: tuple[str, str], service_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await cloud.gql(PROXIES, e=place[1], s=service_id))["tcpProxies"]
    return found


async def test_tcp_proxy_of_a_patch_leads_to_the_service_and_goes_with_it(cloud: Harness) -> None:
    place, service_id, deployment_id = await cloud.web()
    await committed(cloud, place, service_id, tcpProxies={"5432": {}, "6379": {}})
    first, second = await proxies(cloud, place, service_id)
    assert (first["applicationPort"], second["applicationPort"]) == (5432, 6379)
    assert first["proxyPort"] != second["proxyPort"]
    assert list(cloud.world.deployments) == [deployment_id], "a proxy needs no deployment"

    def routes() -> dict[int, Any]:
        return {route.port: route for route in cloud.plane.routes["us-west2"] if route.is_tcp}

    await cloud.until(lambda: set(routes()) == {first["proxyPort"], second["proxyPort"]})
    route = routes()[first["proxyPort"]]
    (replica,) = cloud.world.deployments[deployment_id].replicas
    assert (route.address, route.upstreams) == (first["domain"], {"us-west2": ((replica.address, 5432),)})
    await committed(cloud, place, service_id, tcpProxies={"5432": None, "6379": {}})
    await cloud.until(lambda: set(routes()) == {second["proxyPort"]} and not cloud.world.departed)
    assert await proxies(cloud, place, service_id) == [second], "what is there and wanted stays as it is"
    await cloud.gql("mutation ($i: String!) { serviceDelete(id: $i) }", i=service_id)
    await cloud.until(lambda: routes() == {})
    assert cloud.world.tcp_proxies == {}


async def test_custom_domain_is_found_by_its_name_in_every_region(cloud: Harness) -> None:
    regions = {"us-west2": {"numReplicas": 1}, "europe-west4-drams3a": {"numReplicas": 1}}
    place, service_id, _ = await cloud.web(multiRegionConfig=regions)
    wanted = {"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "domain": "API.example.com"}
    made = (await cloud.gql(CREATE_DOMAIN, i={**wanted, "targetPort": 9000}))["customDomainCreate"]
    (record,) = made["status"]["dnsRecords"]
    assert made["domain"] == "api.example.com"
    assert (record["fqdn"], record["zone"], record["hostlabel"]) == ("api.example.com", "example.com", "api")

    def routes() -> list[Any]:
        return [route for table in cloud.plane.routes.values() for route in table if route.is_by_host]

    await cloud.until(lambda: len(routes()) == 2)
    assert {route.region for route in routes()} == set(regions)
    assert record["requiredValue"] in {route.address for route in routes()}
    assert all(port == 9000 for route in routes() for group in route.upstreams.values() for _, port in group)
    config = (await cloud.gql("query ($e: String!) { environment(id: $e) { config } }", e=place[1]))["environment"]["config"]
    assert config["services"][service_id]["networking"]["customDomains"] == {"api.example.com": {"port": 9000}}
    with pytest.raises(ApiError, match="already in use"):
        await cloud.gql(CREATE_DOMAIN, i=wanted)
    await committed(cloud, place, service_id, customDomains={"api.example.com": {"port": 9001}, "b.example.com": {}})
    assert {found.domain: found.target_port for found in cloud.world.custom_domains.values()} == {
        "api.example.com": 9001,
        "b.example.com": None,
    }
    await committed(cloud, place, service_id, customDomains={"api.example.com": None, "b.example.com": None})
    await cloud.until(lambda: routes() == [])


async def test_a_custom_domain_waits_for_its_record_and_then_for_its_certificate(cloud: Harness) -> None:
    """There is no resolver to ask: a switch says that the record is there, the cloud's clock does the rest."""
    place, service_id, _ = await cloud.web()
    wanted = {"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "domain": "api.example.com"}
    made = (await cloud.gql(CREATE_DOMAIN, i=wanted))["customDomainCreate"]
    (record,) = made["status"]["dnsRecords"]

    async def shown() -> tuple[bool, str, str, str]:
        query = """query ($i: String!, $p: String!) { customDomain(id: $i, projectId: $p) { status {
            verified certificateStatus dnsRecords { status currentValue } } } }"""
        status = (await cloud.gql(query, i=made["id"], p=place[0]))["customDomain"]["status"]
        (found,) = status["dnsRecords"]
        words = (status["certificateStatus"].removeprefix("CERTIFICATE_STATUS_TYPE_"), found["status"])
        return status["verified"], *words, found["currentValue"]

    async def told(has_record: bool, domain: str = "API.example.com") -> int:
        body = {"domain": domain, "has_record": has_record}
        return (await cloud.client.post("/_local/domains", json=body)).status_code

    assert await shown() == (False, "VALIDATING_OWNERSHIP", "DNS_RECORD_STATUS_REQUIRES_UPDATE", "")
    assert await told(True) == 200
    propagated = ("DNS_RECORD_STATUS_PROPAGATED", record["requiredValue"])
    assert await shown() == (True, "ISSUING", *propagated)
    cloud.keeper.clock.advance(60)
    assert await told(True) == 200, "saying it again begins nothing anew"
    assert await shown() == (True, "VALID", *propagated)
    assert await told(False) == 200
    assert (await shown())[:2] == (False, "VALIDATING_OWNERSHIP")
    assert await told(True, "other.example.com") == 404


async def test_a_service_domain_with_a_name_is_served_by_it_too(cloud: Harness) -> None:
    """Terraform's provider gives every one a name under the suffix that it reads, and finds it by that name again."""
    place, service_id, _ = await cloud.web()
    at = {"serviceId": service_id, "environmentId": place[1]}
    create = "mutation ($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { id domain suffix } }"
    made = (await cloud.gql(create, i=at))["serviceDomainCreate"]
    rename = "mutation ($i: ServiceDomainUpdateInput!) { serviceDomainUpdate(input: $i) }"
    name = f"api.{made['suffix']}"

    async def renamed(to: str, identity: str = made["id"]) -> None:
        await cloud.gql(rename, i={**at, "serviceDomainId": identity, "domain": to, "targetPort": 0})

    def names() -> set[str]:
        return {route.domain for route in cloud.plane.routes["us-west2"] if route.is_by_host}

    await renamed(name.upper())
    await cloud.until(lambda: names() == {name})
    listed = """query ($p: String!, $e: String!, $s: String!) { domains(projectId: $p, environmentId: $e, serviceId: $s) {
        serviceDomains { domain targetPort } } }"""
    found = await cloud.gql(listed, p=place[0], e=place[1], s=service_id)
    assert found["domains"]["serviceDomains"] == [{"domain": name, "targetPort": None}], "port 0 is none"
    assert made["domain"] in {route.domain for route in cloud.plane.routes["us-west2"]}, "and by its address as before"
    other = (await cloud.gql(create, i=at))["serviceDomainCreate"]
    with pytest.raises(ApiError, match="already in use"):
        await renamed(name, other["id"])
    with pytest.raises(ApiError, match="already in use"):
        await cloud.gql(CREATE_DOMAIN, i={**at, "projectId": place[0], "domain": name})
    for wrong in ("api.example.com", f"a.b.{made['suffix']}", f"-.{made['suffix']}", "127.0.0.1:80"):
        with pytest.raises(ApiError, match=r"expected a name like api\.up\.railway\.app"):
            await renamed(wrong)
    await renamed(made["domain"])
    await cloud.until(lambda: names() == set())


@pytest.mark.parametrize(
    ("networking", "message"),
    [
        ({"tcpProxies": {"http": {}}}, "networking.tcpProxies.http: expected a port"),
        ({"tcpProxies": {"0": {}}}, "networking.tcpProxies.0: expected a port"),
        ({"customDomains": {"nodots": {}}}, "domain: expected a host name"),
        ({"customDomains": {"a.example.com": {"port": "80"}}}, "a.example.com.port: expected an integer"),
        ({"customDomains": {"a.example.com": {"port": 70000}}}, "targetPort: expected 1 to 65535"),
        ({"udpProxies": {}}, "networking.udpProxies: not known"),
    ],
)
async def test_wrong_networking_is_refused_with_its_path(cloud: Harness, networking: dict[str, Any], message: str) -> None:
    place = await cloud.project()
    service_id = await cloud.service(place)
    with pytest.raises(ApiError, match=message):
        await committed(cloud, place, service_id, **networking)


async def test_a_stranger_learns_nothing_of_proxies_and_domains(cloud: Harness) -> None:
    """A project token of another project must not even hear whether an id exists."""
    place, service_id, _ = await cloud.web()
    await committed(cloud, place, service_id, tcpProxies={"5432": {}}, customDomains={"a.example.com": {}})
    other = await cloud.project()
    token = await cloud.gql(
        "mutation ($i: ProjectTokenCreateInput!) { projectTokenCreate(input: $i) }",
        i={"projectId": other[0], "environmentId": other[1], "name": "t"},
    )
    headers = {"Authorization": "", "Project-Access-Token": token["projectTokenCreate"]}
    (proxy,), (domain,) = cloud.world.tcp_proxies, cloud.world.custom_domains
    for identity in (proxy, "nothing"):
        with pytest.raises(ApiError, match="Not Authorized"):
            await cloud.gql("mutation ($i: String!) { tcpProxyDelete(id: $i) }", headers, i=identity)
    for identity in (domain, "nothing"):
        with pytest.raises(ApiError, match="Not Authorized"):
            await cloud.gql("mutation ($i: String!) { customDomainDelete(id: $i) }", headers, i=identity)
